"""Are groups of latents more stable than latents? Five dictionaries on one world, all pairs, beside their nulls.

    uv run python -m studies.trees.seeds FOLDER

makes the world of seed 0 in FOLDER (kept), trains the default dictionary with five seeds on its store (kept), and three
dictionaries of random directions, and compares every two: trees, cuts, single latents, groups. Writes
results/seeds.json as it goes; a call that was stopped goes on with the pairs that are missing. On a
quiet core a dictionary takes about half a minute and a pair 12 seconds.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.activations.store import ActivationStore
from pipeline.agreement.compare import compare_sides
from pipeline.agreement.crossing import Side
from pipeline.agreement.sides import random_side, trained_side
from pipeline.codes.encoding import encode_store
from pipeline.core.files import building, read_json, write_json
from pipeline.core.processes import prepare_process
from pipeline.sae.build import build_dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.tree.linkage import cut_correlations
from studies.recommended import recommended
from studies.seed_world import seed_world

RESULT = Path(__file__).parent / "results/seeds.json"
SEEDS, RANDOM = range(5), range(100, 103)


def main(folder: Path) -> None:
    prepare_process(threads=1)
    correlation, trees = recommended().correlation, recommended().dendrogram
    cuts = cut_correlations(trees.threshold, trees.levels)
    store = ActivationStore.open(seed_world(folder, 0, until="cache_activations") / "activations.zarr")
    trained = functools.cache(lambda seed: train(folder / "stability" / f"seed_{seed}", store, seed))
    first = folder / "stability/seed_0/sae"
    random = functools.cache(lambda seed: random_side(store, first, seed, correlation, trees))
    rows = read_json(RESULT)["pairs"] if RESULT.exists() else []
    done = {(row["kind"], row["one"], row["two"]) for row in rows}
    for kind, side_of, two, one in wanted(trained, random):
        if (kind, one, two) not in done:
            found = compare_sides(side_of(one), side_of(two), cuts, seed=0)
            rows.append({"kind": kind, "one": one, "two": two, **found})
            write_json(RESULT, {"cuts": cuts, "scale": trees.scale, "linkage": trees.linkage, "pairs": rows})
            print(kind, one, two, found["features"], flush=True)


def wanted(trained: Callable[[int], Side], random: Callable[[int], Side]) -> Iterator[tuple]:
    """Every pair of one kind, so ordered that a dictionary is trained when the pairs of those before are done."""
    for kind, side_of, seeds in (("trained", trained, SEEDS), ("random", random, RANDOM)):
        for two in seeds:
            yield from ((kind, side_of, two, one) for one in seeds if one < two)


def train(place: Path, store: ActivationStore, seed: int) -> Side:
    """The default dictionary with another seed: other first weights, other order of the batches."""
    settings = recommended()
    if not place.exists():
        with building(place) as scratch:
            for name in ("sae", "features.zarr"):
                (scratch / name).mkdir()
            build_dictionary(store, settings.sae, settings.machine, seed, "cpu", scratch / "sae")
            encode_store(store, load_dictionary(scratch / "sae"), scratch / "features.zarr", {})
    return trained_side(place / "sae", place / "features.zarr", settings.correlation, settings.dendrogram)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
