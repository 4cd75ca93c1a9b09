"""What each training objective gives on the embedded world: quality, absorption, the true tree, a steady tree.

    uv run python -m studies.dictionaries.objectives FOLDER 0 1 2

makes the worlds in FOLDER (three minutes a seed on a quiet machine; kept), trains every variant on each with the
world's seed, and writes results/objectives.json as it goes. Figures per variant and seed:

    quality      of sae_figures on test text: explained variance, L0, dead share, CE loss recovered, spliced cloze
    absorption   parent silent where child fires: of the tokens (documents) on which a latent of a sub-class of a class
                 fires, the share on which no latent of the class itself does; mean over the classes
    tree         from the codes' correlation over documents: AMI of the best cut with the true topics, parent F1 of the
                 cuts at 1/6, 1/3 and 1/2; shuffled leaves beside
    stability    of the training snapshots' finest cut and heights, mean of the last three; shuffled leaves beside
"""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.core.files import read_json, read_jsonl, write_json
from pipeline.core.processes import prepare_process
from pipeline.evaluation.knowledge import sae_figures
from pipeline.evaluation.tree_truth import Place, edge_scores, places_of
from pipeline.evaluation.truth import SHARES, belonging, best_ami
from pipeline.sae.folder import load_dictionary
from pipeline.sae.settings import SAESettings
from pipeline.tree.correlation import Hands, correlate, plan_for
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.linkage import cut_correlations
from pipeline.tree.units import Source
from pipeline.unlearning.bench import Bench, Outcome
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.subject import open_subject
from studies.recommended import recommended
from studies.seed_world import seed_world, trained_on

RESULT = Path(__file__).parent / "results/objectives.json"
# What each changes of the recommended dictionary without its penalty.
VARIANTS: dict[str, dict[str, Any]] = {
    "BatchTopK": {},
    "penalty 0.03, r 0.5": {"tree_penalty": 0.03},
    "penalty 0.03, r 0.7": {"tree_penalty": 0.03, "tree_threshold": 0.7},
    "penalty 0.03, r 0.5, 1 level": {"tree_penalty": 0.03, "tree_levels": 1},
    "penalty 0.1, r 0.5": {"tree_penalty": 0.1},
    "penalty 0.1, r 0.7": {"tree_penalty": 0.1, "tree_threshold": 0.7},
    "Matryoshka": {"architecture": "matryoshka"},
    "TopK": {"architecture": "topk"},
    "JumpReLU": {"architecture": "jump_relu"},
    "ReLU, L1 0.02": {"architecture": "relu", "l1": 0.02},
    "ReLU, L1 0.04": {"architecture": "relu", "l1": 0.04},
    "ReLU, L1 0.1": {"architecture": "relu", "l1": 0.1},
    "ReLU, L1 0.2": {"architecture": "relu", "l1": 0.2},
    "ReLU, L1 0.4": {"architecture": "relu", "l1": 0.4},
}


def main(folder: Path, seeds: list[int]) -> None:
    prepare_process(threads=1)
    rows = read_json(RESULT)["rows"] if RESULT.exists() else []
    done = {(row["variant"], row["seed"]) for row in rows}
    for name, changes in VARIANTS.items():
        settings = recommended().sae.but(**{"tree_penalty": 0.0} | changes)
        for seed in seeds:
            if (name, seed) not in done:
                rows.append({"variant": name, "seed": seed, **measure(folder, settings, seed)})
                write_json(RESULT, {"rows": rows})
                print(rows[-1], flush=True)


def measure(folder: Path, settings: SAESettings, seed: int) -> dict[str, Any]:
    """Train and encode in a scratch folder, then look at the dictionary and at its trees."""
    data = seed_world(folder, seed, until="cache_activations")
    with trained_on(data, settings, seed) as (sae, features):
        bench, before = world_bench(data, sae)
        bench.dictionary = load_dictionary(sae)
        quality = sae_figures(bench, before, CodesStore.open(features).rates(), seed)["means"]
        trained = read_json(sae / "training.json")
        return {**quality, **against_truth(data, features, seed), **stability(trained["snapshots"])}


@cache
def world_bench(data: Path, sae: Path) -> tuple[Bench, Outcome]:
    """The test split's bench; the dictionary in it is to be replaced."""
    subject = open_subject(data / "model", sae, data / "corpus", recommended().activations, {"domain": 0}, "cpu")
    bench = subject.bench(*subject.split("test"))
    return bench, bench.measure(no_edit("", (), subject.layer))


def against_truth(data: Path, features: Path, seed: int) -> dict[str, float | None]:
    codes, documents = CodesStore.open(features).all(), list(read_jsonl(data / "corpus/train.jsonl"))
    places = places_of(codes, documents)
    source, settings = Source(features, "document"), recommended().dendrogram
    tree = build_tree(
        correlate(source, "pearson", None, 0.05, plan_for(source, 2048, Hands(1, True))), settings.min_firings
    )
    shuffled = tree.shuffled(np.random.default_rng(seed))
    topics = belonging(codes, documents, 2, SHARES["topic"])
    found: dict[str, float | None] = {}
    for suffix, one in (("", tree), ("_null", shuffled)):
        found[f"topic_ami{suffix}"] = best_ami(one, topics)
        cuts = [one.cut(c) for c in cut_correlations(settings.threshold, settings.levels)]
        found[f"parent_f1{suffix}"] = edge_scores(cuts, places).f1
    rows = np.repeat(np.arange(len(codes.doc_id)), np.diff(codes.indptr))
    found["absorption_token"] = absorption(codes, rows, places)
    found["absorption_document"] = absorption(codes, codes.doc_id[rows], places)
    return found


def absorption(codes: SparseCodes, unit: np.ndarray, places: dict[int, Place]) -> float | None:
    """``unit`` is the token or document of every entry. None where no class has latents of its own and below it."""
    shape = int(unit.max()) + 1, codes.n_latents
    fires = csr_array((np.ones(len(unit), np.int32), (unit, codes.index)), shape=shape).tocsc()
    silent = []
    for place in sorted(set(places.values())):
        own = [latent for latent, other in places.items() if other == place]
        below = [latent for latent, other in places.items() if len(other) > len(place) == _shared(place, other)]
        if below:
            parent, child = (fires[:, some].sum(1) > 0 for some in (own, below))
            silent.append(float((child & ~parent).sum() / child.sum()))
    return float(np.mean(silent)) if silent else None


def _shared(place: Place, other: Place) -> int:
    return len(place) if other[: len(place)] == place else 0


def stability(snapshots: list[dict[str, Any]]) -> dict[str, float | None]:
    last = snapshots[-3:]
    finest = [row["cuts"][-1] for row in last]
    figures = {
        f"{name}{suffix}": [cut[f"{name}{suffix}"] for cut in finest]
        for name in ("ari", "ami")
        for suffix in ("", "_null")
    }
    figures |= {name: [row[name] for row in last] for name in ("cophenetic", "cophenetic_null")}
    return {name: float(np.mean(v)) if None not in v else None for name, v in figures.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]])
