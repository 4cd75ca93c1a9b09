"""Known features with a known tree: does a dictionary find the features, and its dendrogram the tree?

    uv run python -m studies.dictionaries.known_features [thousand samples] [seed ...]

SynthSAEBench's kind of data (arXiv 2602.14687), from ``sae_lens.synthetic``, small enough for minutes of CPU: 208
features in 96 dimensions, 16 roots with 3 children at 2 depths, mutually exclusive siblings, children scaled by their
parent (version 2), low-rank correlation; a latent for every second feature. All architectures see the same batches.
Writes results/known_features.json as it goes. F1 and MCC are SAELens' own. Over the latents that match a feature of
the true hierarchy (cosine > 0.7), against the same tree with shuffled leaves:

    absorption  parent silent where child fires: over the true edges of which both features are matched, the share of
                the rows with the parent feature present and the child's latent firing on which the parent's is silent
    parent F1   parent of i = argmax over j that fire more often of P(j fires | i fires), if above 0.5
    triplets    of three latents of which the truth joins two first, how often the dendrogram joins the same two
    purity      dendrogram purity by the ancestor at each depth (depth 1: the root that a latent descends from)
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from sae_lens.synthetic import (
    ClassificationMetricsCalculator,
    ConstantFiringProbabilityConfig,
    HierarchyConfig,
    LowRankCorrelationConfig,
    SyntheticModel,
    SyntheticModelConfig,
    mean_correlation_coefficient,
)
from sae_lens.synthetic.firing_magnitudes import FoldedNormalMagnitudeConfig
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform

from pipeline.core.files import read_json, write_json
from pipeline.core.processes import prepare_process
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.trainer import Trainer
from pipeline.sae.training import train
from pipeline.tree.linkage import linkage_of
from studies.recommended import recommended

RESULT = Path(__file__).parent / "results/known_features.json"
BATCH, DEPTHS = 256, (1, 2)
SHARED = {"d_sae": 104, "k": 4, "learning_rate": 5e-3, "batch_size": BATCH, "correlation_every": 0, "tree_penalty": 0.0}
# What each changes of the recommended dictionary, after what all share.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Matryoshka": {"architecture": "matryoshka"},
    "BatchTopK": {},
    "BatchTopK, penalty 0.1, r 0.5": {"correlation_every": 100, "tree_penalty": 0.1},
    "JumpReLU": {"architecture": "jump_relu"},
    "ReLU, L1 0.1": {"architecture": "relu", "l1": 0.1},
}


def small_bench(seed: int) -> SyntheticModel:
    hierarchy = HierarchyConfig(
        total_root_nodes=16,
        branching_factor=3,
        max_depth=2,
        mutually_exclusive_portion=1.0,
        scale_children_by_parent=True,
    )
    config = SyntheticModelConfig(
        num_features=208,
        hidden_dim=96,
        hierarchy=hierarchy,
        firing_probability=ConstantFiringProbabilityConfig(0.2),
        correlation=LowRankCorrelationConfig(rank=8, correlation_scale=0.1),
        mean_firing_magnitudes=FoldedNormalMagnitudeConfig(mean=5.0, std=1.0),
        std_firing_magnitudes=0.5,
        seed=seed,
    )
    return SyntheticModel(config)


class Truth(NamedTuple):
    """Per feature: its ancestors from the root down to itself; empty outside the hierarchy."""

    path: list[list[int]]

    @classmethod
    def of(cls, model: SyntheticModel) -> "Truth":
        path: list[list[int]] = [[] for _ in range(model.cfg.num_features)]
        stack = [(root, []) for root in model.hierarchy.roots]
        while stack:
            node, above = stack.pop()
            here = [*above, node.feature_index] if node.feature_index is not None else above
            if node.feature_index is not None:
                path[node.feature_index] = here
            stack += [(child, here) for child in node.children]
        return cls(path)

    def shared(self, one: int, other: int) -> int:
        """Depth of the last common ancestor: 0 for different roots."""
        return sum(a == b for a, b in zip(self.path[one], self.path[other], strict=False))


def tree_scores(codes_ns: np.ndarray, features_nf: np.ndarray, found: dict[int, int], truth: Truth) -> dict[str, float]:
    """Scores of the average-linkage tree over the matched latents; ``features_nf`` says which features were present."""
    latents = np.array([latent for latent in found if (codes_ns[:, latent] > 0).sum() >= 20])
    if len(latents) < 3:
        return {"matched": len(latents)}
    features = [found[int(latent)] for latent in latents]
    joined = np.array([[truth.shared(a, b) for b in features] for a in features])
    distance = 1 - np.corrcoef(codes_ns[:, latents].T)
    height = squareform(cophenet(linkage_of(squareform(distance, checks=False), "average")))
    shuffled = np.random.default_rng(0).permutation(len(latents))
    null = height[np.ix_(shuffled, shuffled)]
    fires_ns = codes_ns[:, latents] > 0
    scores = {
        "matched": len(latents),
        "parent_f1": _parent_f1(fires_ns, features, truth),
        "absorption": _absorption(fires_ns, features_nf[:, features], _edges(features, truth)),
        "triplets": _triplets(height, joined),
        "triplets_null": _triplets(null, joined),
    }
    for depth in DEPTHS:
        scores[f"purity_{depth}"] = _purity(height, joined >= depth)
        scores[f"purity_{depth}_null"] = _purity(null, joined >= depth)
    return scores


def _edges(features: list[int], truth: Truth) -> set[tuple[int, int]]:
    """(child, parent) as places in ``features``."""
    place = {feature: i for i, feature in enumerate(features)}
    return {
        (i, place[truth.path[f][-2]])
        for i, f in enumerate(features)
        if len(truth.path[f]) > 1 and truth.path[f][-2] in place
    }


def _absorption(fires_ns: np.ndarray, present_ns: np.ndarray, edges: set[tuple[int, int]]) -> float | None:
    counted = [(fires_ns[:, child] & present_ns[:, parent], fires_ns[:, parent]) for child, parent in edges]
    rates = [float((~fires)[due].mean()) for due, fires in counted if due.any()]
    return float(np.mean(rates)) if rates else None


def _parent_f1(fires_ns: np.ndarray, features: list[int], truth: Truth) -> float:
    fired = fires_ns.sum(0)
    together = fires_ns.T.astype(np.float32) @ fires_ns / fired[:, None]  # P(column fires | row fires)
    together[fired[None, :] <= fired[:, None]] = 0
    best = together.argmax(1)
    said = {(i, int(j)) for i, j in enumerate(best) if together[i, j] > 0.5}
    true = _edges(features, truth)
    return 2 * len(said & true) / max(1, len(said) + len(true))


def _triplets(height: np.ndarray, joined: np.ndarray, draws: int = 200_000) -> float | None:
    a, b, c = np.random.default_rng(1).integers(len(height), size=(3, draws))
    first = (joined[a, b] > joined[a, c]) & (joined[a, b] > joined[b, c]) & (a != b)
    right = height[a, b] < np.minimum(height[a, c], height[b, c])
    return float(right[first].mean()) if first.any() else None


def _purity(height: np.ndarray, same: np.ndarray) -> float | None:
    """Mean over pairs of one class of that class's share among the leaves of the smallest subtree with both."""
    one, other = np.nonzero(np.triu(same, 1))
    inside = height[one] <= height[one, other][:, None] + 1e-12
    return float(((inside & same[one]).sum(1) / inside.sum(1)).mean()) if len(one) else None


def match(dictionary: Dictionary, model: SyntheticModel, truth: Truth) -> dict[int, int]:
    """Latent -> feature of the hierarchy, one to one, cosine above 0.7, the best pairs first."""
    features = torch.nn.functional.normalize(model.feature_dict.feature_vectors, dim=1)
    cosine = (dictionary.W_dec @ features.T).numpy()
    found: dict[int, int] = {}
    for flat in np.argsort(-cosine, axis=None):
        latent, feature = np.unravel_index(flat, cosine.shape)
        if cosine[latent, feature] < 0.7:
            break
        if truth.path[feature] and latent not in found and feature not in found.values():
            found[int(latent)] = int(feature)
    return found


def evaluate(dictionary: Dictionary, model: SyntheticModel, truth: Truth, batches: int = 120) -> dict[str, float]:
    vectors = model.feature_dict.feature_vectors
    scores = ClassificationMetricsCalculator(dictionary.W_dec, vectors)
    codes, error, acts, present = [], 0.0, [], []
    for _ in range(batches):
        batch, features = model.sample_with_features(BATCH)
        codes.append(dictionary.encode(batch))
        scores.add_batch(codes[-1], features)
        error += float((dictionary.decode(codes[-1]) - batch).square().sum())
        acts.append(batch)
        present.append(features > 0)
    codes_ns = torch.cat(codes).numpy()
    variance = float((torch.cat(acts) - torch.cat(acts).mean(0)).square().sum())
    return {
        "f1": scores.compute().f1_score,
        "mcc": mean_correlation_coefficient(dictionary.W_dec, vectors),
        "explained_variance": 1 - error / variance,
        "l0": float((codes_ns > 0).sum(1).mean()),
        "true_l0": float(torch.cat(present).sum(1).double().mean()),
        "dead_share": float(1 - (codes_ns > 0).any(0).mean()),
        **tree_scores(codes_ns, torch.cat(present).numpy(), match(dictionary, model, truth), truth),
    }


def main() -> None:
    steps = int(float(sys.argv[1] if len(sys.argv) > 1 else 250) * 1e3 / BATCH)
    seeds = [int(seed) for seed in sys.argv[2:]] or [0, 1, 2]
    prepare_process(1)
    warnings.simplefilter("ignore")
    rows = read_json(RESULT)["rows"] if RESULT.exists() else []
    for seed in seeds:
        if seed not in {row["seed"] for row in rows}:
            rows += learn(seed, steps)
            write_json(RESULT, {"rows": rows})


@torch.no_grad()
def learn(seed: int, steps: int) -> list[dict[str, object]]:
    """A world of this seed, every architecture on the same batches, their scores."""
    torch.manual_seed(seed)
    model = small_bench(seed)
    truth = Truth.of(model)
    sample = model.sample(16 * BATCH)
    start = (
        by_mean_norm(sample.mean(0), float(sample.norm(dim=1).mean())),
        1000 + seed,
    )  # the world's own seed would give the answer
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(number) for number in range(len(ARCHITECTURES))]
        for folder in folders:
            folder.mkdir()
        length = {"steps": steps, "checkpoint_every": steps}
        trainers = [
            Trainer(recommended().sae.but(**SHARED | changes | length), *start, "cpu")
            for changes in ARCHITECTURES.values()
        ]
        train(trainers, Samples(model), folders)
    for name, trainer in zip(ARCHITECTURES, trainers, strict=True):
        torch.manual_seed(10_000 + seed)  # the same rows for all
        scores = evaluate(trainer.dictionary(), model, truth)
        rows.append({"architecture": name, "seed": seed, "samples": steps * BATCH} | scores)
        print(rows[-1], flush=True)
    return rows


class Samples:
    """Fresh batches without end."""

    def __init__(self, model: SyntheticModel) -> None:
        self.model, self.position = model, {}

    def __next__(self) -> torch.Tensor:
        return self.model.sample(BATCH)


if __name__ == "__main__":
    main()
