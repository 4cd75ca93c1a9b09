"""Reads the correlations and the codes; writes the tree of latents at both scales, its cuts and their stability."""

import shutil
from pathlib import Path

from pipeline.core.files import building, write_json, write_sums
from pipeline.core.settings import RunSettings, read_section
from pipeline.tree.correlation_file import read_correlation
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.export import parents_of_latents, write_tree
from pipeline.tree.linkage import cut_correlations
from pipeline.tree.settings import DendrogramSettings
from pipeline.tree.stability import stability_of
from stages import PARAMS, run

CODES = Path("data/features.zarr")
CORRELATION = Path("data/correlation.zarr")
DENDROGRAM = Path("data/dendrogram")


def main() -> str:
    seed = read_section(PARAMS, RunSettings, "run").seed
    settings = read_section(PARAMS, DendrogramSettings, "dendrogram")
    cuts = cut_correlations(settings.threshold, settings.levels)
    joined: dict[str, str] = {}
    with building(DENDROGRAM) as partial:
        for scale in ("token", "document"):
            correlation = read_correlation(CORRELATION, scale)
            tree = build_tree(correlation, settings.min_firings, settings.linkage)
            about = {"scale": scale, "similarity": correlation.similarity, "linkage": settings.linkage}
            stability = stability_of(CODES, correlation, tree, cuts, settings.linkage, settings.bootstraps, seed)
            parents = parents_of_latents(correlation).as_json()
            folder = partial / scale
            write_tree(folder, tree, cuts, about, stability.plateaus, stability.node)
            found = stability.as_json(tree, settings.bootstraps)
            write_json(folder / "stability.json", {**about, **found})
            write_json(folder / "parents.json", {**about, "edges": parents})
            print(f"{scale}: {found['summary']}, {len(parents)} parent edges", flush=True)
            groups, agreement = _listed(found, "groups", "d"), _listed(found, "ari", ".2f")
            joined[scale] = (
                f"the tree by {scale} joins {tree.n_leaves:,} latents; its cuts have {groups} groups, which agree with "
                f"those of resampled documents by {agreement} (1 is the same, 0 chance)"
            )
        shutil.copytree(partial / settings.scale, partial, dirs_exist_ok=True)
        write_sums(partial)
    return joined[settings.scale]


def _listed(found: dict, name: str, form: str) -> str:
    """``44, 88, 99``: one figure of every cut, the coarsest first."""
    return ", ".join(f"{row[name]:{form}}" for row in found["cuts"])


if __name__ == "__main__":
    run("build_dendrogram", main)
