"""Did my features and groups come back? Compares data/ with the data of another run on the same activations.

uv run python -m stages.agreement OTHER/data
"""

import json
import sys
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.settings import read_section
from pipeline.tree.linkage import cut_correlations
from pipeline.tree.settings import CorrelationSettings, DendrogramSettings
from stages import PARAMS

SAE, FEATURES, ACTIVATIONS = Path("data/sae"), Path("data/features.zarr"), Path("data/activations.zarr")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if not (Path(arguments[0]) / "features.zarr").is_dir():
            raise PipelineError(f"{arguments[0]} holds no features.zarr; give the data/ of another run")
        print(json.dumps(compare(Path(arguments[0])), indent=1))
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def compare(other: Path) -> dict:
    """``trained``: the two dictionaries; ``random``: two dictionaries of random directions on the same store."""
    from pipeline.activations.store import ActivationStore
    from pipeline.core.processes import prepare_process
    from pipeline.replication.compare import compare_sides
    from pipeline.replication.sides import random_side, refuse_other_tokens, trained_side

    correlation = read_section(PARAMS, CorrelationSettings, "correlation")
    dendrogram = read_section(PARAMS, DendrogramSettings, "dendrogram")
    prepare_process(threads=1)
    cuts = cut_correlations(dendrogram.threshold, dendrogram.levels)
    refuse_other_tokens(FEATURES, other / "features.zarr")
    pair = [
        trained_side(*places, correlation, dendrogram)
        for places in ((SAE, FEATURES), (other / "sae", other / "features.zarr"))
    ]
    found = {"cuts": cuts, "trained": compare_sides(*pair, cuts, seed=0)}
    if ACTIVATIONS.exists():
        store = ActivationStore.open(ACTIVATIONS)
        null = [random_side(store, SAE, seed, correlation, dendrogram) for seed in (0, 1)]
        found["random"] = compare_sides(*null, cuts, seed=0)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
