"""Codes of a trained dictionary, not synthetic ones: how large the giant component is, and what chance makes of them.

    uv run python experiment.py --out_dir=run_7 && uv run python -m studies.trees.real_codes world data
    uv run python experiment.py --out_dir=tofu-local && uv run python -m studies.trees.real_codes TOFU data

put a row for each scale of ``data/correlation.zarr`` into results/real_codes.json, under the name given. The null
moves every latent around the store by an offset of its own (see ``circular_shift``), 5 times.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.tree.correlation import WEAK, Correlation
from pipeline.tree.correlation_file import read_correlation
from pipeline.tree.dendrogram import clustered_latents
from pipeline.tree.units import Source, Units
from studies.trees.circular_shift import circular_shift, offsets
from studies.trees.planted import correlation_of

RESULT = Path(__file__).parent / "results/real_codes.json"
THRESHOLDS = (0.02, 0.05, 0.1, 0.3, 0.5)
MIN_FIRINGS = 12  # the default of dendrogram.min_firings
SHIFTS = 5


def giant_share(correlation: Correlation, latents: np.ndarray, threshold: float) -> float:
    """Share of ``latents`` in the largest connected component of the pairs above ``threshold``."""
    inside = np.zeros(len(correlation.sums.n), bool)
    inside[latents] = True
    i, j, r = correlation.pairs.i, correlation.pairs.j, correlation.pairs.r
    use = inside[i] & inside[j] & (r > threshold)
    graph = coo_array((np.ones(use.sum()), (i[use], j[use])), shape=(len(inside), len(inside)))
    label = connected_components(graph, directed=False)[1]
    return int(np.bincount(label[latents]).max()) / len(latents)


def row(folder: Path, scale: str) -> dict:
    correlation = read_correlation(folder / "correlation.zarr", scale)
    units = Source(folder / "features.zarr", scale, correlation.window).everything()
    latents = clustered_latents(correlation, MIN_FIRINGS)
    return {
        "scale": scale,
        "units": correlation.sums.n_units,
        "latents": int((correlation.sums.n > 0).sum()),
        "clustered": len(latents),
        "pairs": len(correlation.pairs.i),
        "significant": int(correlation.significant.sum()),
        "significant_in_null": [significant_in_null(units, correlation.similarity, seed) for seed in range(SHIFTS)],
        "giant": {str(threshold): round(giant_share(correlation, latents, threshold), 3) for threshold in THRESHOLDS},
    }


def significant_in_null(units: Units, similarity: str, seed: int) -> int:
    """Pairs called significant after the shift; those that were moved together keep their relation and do not count."""
    null, offset = correlation_of(circular_shift(units, seed), similarity), offsets(units, seed)
    apart = offset[null.pairs.i] != offset[null.pairs.j]
    return int((null.significant & (null.pairs.r > WEAK) & apart).sum())


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found[name] = [row(folder, scale) for scale in ("token", "document")]
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found[name], indent=1))


if __name__ == "__main__":
    main()
