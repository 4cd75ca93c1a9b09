"""Which dictionary and which linkage show the world's true tree? Three worlds, both scales, beside shuffled leaves.

    uv run python -m studies.trees.linkages FOLDER 0 1 2

makes the worlds in FOLDER (three minutes a seed; kept), trains every variant of the dictionary on each and writes
results/linkages.json as it goes: per variant and seed the dictionary's quality on test text, and for every scale
and linkage the AMI of the best cut with the true domains, topics and entities, with shuffled leaves beside.
"""

import sys
from pathlib import Path

import numpy as np

from pipeline.codes.store import CodesStore
from pipeline.core.files import read_json, read_jsonl, write_json
from pipeline.core.processes import prepare_process
from pipeline.evaluation.knowledge import sae_figures
from pipeline.evaluation.truth import SHARES, Belonging, belonging, best_ami
from pipeline.sae.settings import SAESettings
from pipeline.tree.correlation import Hands, correlate, plan_for
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.feature_tree import FeatureTree
from pipeline.tree.units import Source
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.subject import open_subject
from studies.recommended import recommended
from studies.seed_world import seed_world, trained_on

RESULT = Path(__file__).parent / "results/linkages.json"
# What each changes of the recommended dictionary.
VARIANTS: dict[str, dict[str, float]] = {
    "default": {},
    "no tree penalty": {"tree_penalty": 0.0},
    "lr 1e-3, AuxK 1/32": {"learning_rate": 1e-3, "aux_weight": 1 / 32},
    "k 12": {"k": 12},
}
LINKAGES = ("average", "complete", "ward")


def main(folder: Path, seeds: list[int]) -> None:
    prepare_process(threads=1)
    rows = read_json(RESULT)["rows"] if RESULT.exists() else []
    done = {(row["variant"], row["seed"]) for row in rows}
    for seed in seeds:
        data = seed_world(folder, seed, until="cache_activations")
        for name, changes in VARIANTS.items():
            if (name, seed) not in done:
                rows.append({"variant": name, "seed": seed, **measure(data, recommended().sae.but(**changes), seed)})
                write_json(RESULT, {"rows": rows})
                print(rows[-1], flush=True)


def measure(data: Path, settings: SAESettings, seed: int) -> dict:
    """Train and encode in a scratch folder, then look at the dictionary and at its trees."""
    with trained_on(data, settings, seed) as (sae, features):
        return quality(data, sae, features, seed) | {"ami": trees(data, features, seed)}


def quality(data: Path, sae: Path, features: Path, seed: int) -> dict[str, float]:
    """The dictionary's figures on test text."""
    subject = open_subject(data / "model", sae, data / "corpus", recommended().activations, {"domain": 0}, "cpu")
    bench = subject.bench(*subject.split("test"))
    before = bench.measure(no_edit("", (), subject.layer))
    return sae_figures(bench, before, CodesStore.open(features).rates(), seed)["means"]


def trees(data: Path, features: Path, seed: int) -> dict[str, dict[str, float]]:
    """``{"document, average": {"domain": .., "topic": .., "entity": .., "topic_null": ..}}``."""
    codes, documents = CodesStore.open(features).all(), list(read_jsonl(data / "corpus/train.jsonl"))
    truth = {
        level: belonging(codes, documents, depth, share) for depth, (level, share) in enumerate(SHARES.items(), start=1)
    }
    found = {}
    for scale in ("token", "document"):
        source = Source(features, scale)
        correlation = correlate(source, "pearson", None, 0.05, plan_for(source, 2048, Hands(1, True)))
        for linkage in LINKAGES:
            tree = build_tree(correlation, recommended().dendrogram.min_firings, linkage)
            found[f"{scale}, {linkage}"] = amis(tree, truth, seed)
    return found


def amis(tree: FeatureTree, truth: dict[str, Belonging], seed: int) -> dict[str, float]:
    shuffled = tree.shuffled(np.random.default_rng(seed))
    scores = {level: best_ami(tree, of_level) for level, of_level in truth.items()}
    return scores | {f"{level}_null": best_ami(shuffled, of_level) for level, of_level in truth.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]])
