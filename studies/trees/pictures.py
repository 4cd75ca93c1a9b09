"""The report's pictures of the tree for large dictionaries, from synthetic codes with planted trees (200k tokens).

    uv run python -m studies.trees.pictures FOLDER

writes FOLDER/clustermap_2048.png, dendrogram_2048.png, clustermap_16384.png and dendrogram_16384.png.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.correlation_codes import planted_codes, write_codes
from pipeline.report.pictures import save_pictures
from pipeline.report.tree_pictures import clustermap, tree_picture
from pipeline.tree.correlation import computing, correlate, plan_for
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.linkage import cut_correlations
from pipeline.tree.units import Source

N_TOKENS, MIN_FIRINGS = 200_000, 100


def pictures(codes: Path) -> dict:
    """The cluster map and the dendrogram, with cuts as by default."""
    source, cuts = Source(codes, "token"), cut_correlations(0.5, 3)
    with computing("threads", 1, 2048) as hands:
        correlation = correlate(source, "pearson", 0.02, 0.05, plan_for(source, 2048, hands))
    tree = build_tree(correlation, MIN_FIRINGS)
    sizes = [sum(len(group) > 1 for group in tree.cut(cut)) for cut in cuts]
    return {"clustermap": clustermap(tree, correlation, cuts), "dendrogram": tree_picture(tree, cuts, sizes, {})}


def main() -> None:
    folder = Path(sys.argv[1])
    for n_latents in (2048, 16_384):
        with tempfile.TemporaryDirectory() as scratch:
            write_codes(Path(scratch) / "codes.zarr", planted_codes(N_TOKENS, n_latents)[0])
            made = pictures(Path(scratch) / "codes.zarr")
        save_pictures(folder, {f"{name}_{n_latents}": figure for name, figure in made.items()})


if __name__ == "__main__":
    main()
