"""Known features with a known tree: does a dictionary find the features, and its dendrogram the tree?

    python -m benchmarks.sae_synthetic [million samples] [seed]

SynthSAEBench (arXiv 2602.14687) at an eighth of its size, from ``sae_lens.synthetic``: 2048 features in 128 dimensions
(the same 16 features per dimension), 16 roots with 4 children at 3 depths, mutually exclusive siblings, children scaled
by their parent (version 2), Zipf probabilities, low-rank correlation; width 512, BatchTopK at the L0 below. All
architectures see the same batches. F1 and MCC are SAELens' own. Tree scores over the latents that match a feature of
the true hierarchy (cosine > 0.7), against the same tree with shuffled leaves:

    parent F1   parent of i = argmax over j that fire more often of P(j fires | i fires), if above 0.5
    triplets    of three latents of which the truth joins two first, how often the dendrogram joins the same two
    purity      dendrogram purity by the root that a latent descends from
"""

import json
import os
import sys
import warnings
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from sae_lens.synthetic import (
    ClassificationMetricsCalculator,
    HierarchyConfig,
    LowRankCorrelationConfig,
    SyntheticModel,
    SyntheticModelConfig,
    mean_correlation_coefficient,
)
from sae_lens.synthetic.firing_magnitudes import FoldedNormalMagnitudeConfig
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform

from pipeline.hierarchy.linkage import linkage_of
from pipeline.runtime import prepare_process
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.trainer import Trainer
from pipeline.settings.sae import SAESettings

BATCH, WIDTH, L0 = 1024, 512, 12
L1 = 0.1  # relu: gives about the same L0
ARCHITECTURES = ("matryoshka", "batch_topk", "jump_relu", "relu")


def small_bench(seed: int) -> SyntheticModel:
    hierarchy = HierarchyConfig(
        total_root_nodes=16,
        branching_factor=4,
        max_depth=3,
        mutually_exclusive_portion=1.0,
        compensate_probabilities=True,
        scale_children_by_parent=True,
    )
    config = SyntheticModelConfig(
        num_features=2048,
        hidden_dim=128,
        hierarchy=hierarchy,
        correlation=LowRankCorrelationConfig(rank=25, correlation_scale=0.1),
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


def tree_scores(codes_ns: np.ndarray, feature_of: dict[int, int], truth: Truth) -> dict[str, float]:
    """Scores of the average-linkage tree over the matched latents."""
    latents = np.array([latent for latent in feature_of if (codes_ns[:, latent] > 0).sum() >= 20])
    features = [feature_of[int(latent)] for latent in latents]
    joined = np.array([[truth.shared(a, b) for b in features] for a in features])
    distance = 1 - np.corrcoef(codes_ns[:, latents].T)
    height = squareform(cophenet(linkage_of(squareform(distance, checks=False), "average")))
    shuffled = np.random.default_rng(0).permutation(len(latents))
    null = height[np.ix_(shuffled, shuffled)]
    return {
        "matched": len(latents),
        "parent_f1": _parent_f1(codes_ns[:, latents] > 0, features, truth),
        "triplets": _triplets(height, joined),
        "triplets_null": _triplets(null, joined),
        "purity": _purity(height, joined > 0),
        "purity_null": _purity(null, joined > 0),
    }


def _parent_f1(fires_ns: np.ndarray, features: list[int], truth: Truth) -> float:
    fired = fires_ns.sum(0)
    together = fires_ns.T.astype(np.float32) @ fires_ns / fired[:, None]  # P(column fires | row fires)
    together[fired[None, :] <= fired[:, None]] = 0
    best = together.argmax(1)
    said = {(i, int(j)) for i, j in enumerate(best) if together[i, j] > 0.5}
    place = {feature: i for i, feature in enumerate(features)}
    true = {
        (i, place[truth.path[f][-2]])
        for i, f in enumerate(features)
        if len(truth.path[f]) > 1 and truth.path[f][-2] in place
    }
    return 2 * len(said & true) / max(1, len(said) + len(true))


def _triplets(height: np.ndarray, joined: np.ndarray, draws: int = 200_000) -> float:
    a, b, c = np.random.default_rng(1).integers(len(height), size=(3, draws))
    first = (joined[a, b] > joined[a, c]) & (joined[a, b] > joined[b, c]) & (a != b)
    right = height[a, b] < np.minimum(height[a, c], height[b, c])
    return float(right[first].mean())


def _purity(height: np.ndarray, same: np.ndarray) -> float:
    """Mean over pairs of one class of that class's share among the leaves of the smallest subtree with both."""
    one, other = np.nonzero(np.triu(same, 1))
    inside = height[one] <= height[one, other][:, None] + 1e-12
    return float(((inside & same[one]).sum(1) / inside.sum(1)).mean())


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


def evaluate(dictionary: Dictionary, model: SyntheticModel, truth: Truth, batches: int = 60) -> dict[str, float]:
    vectors = model.feature_dict.feature_vectors
    scores = ClassificationMetricsCalculator(dictionary.W_dec, vectors)
    codes, error, acts = [], 0.0, []
    for _ in range(batches):
        batch, features = model.sample_with_features(BATCH)
        codes.append(dictionary.encode(batch))
        scores.add_batch(codes[-1], features)
        error += float((dictionary.decode(codes[-1]) - batch).square().sum())
        acts.append(batch)
    codes_ns = torch.cat(codes).numpy()
    variance = float((torch.cat(acts) - torch.cat(acts).mean(0)).square().sum())
    return {
        "f1": scores.compute().f1_score,
        "mcc": mean_correlation_coefficient(dictionary.W_dec, vectors),
        "explained_variance": 1 - error / variance,
        "l0": float((codes_ns > 0).sum(1).mean()),
        "dead_share": float(1 - (codes_ns > 0).any(0).mean()),
        **tree_scores(codes_ns, match(dictionary, model, truth), truth),
    }


@torch.no_grad()
def main() -> None:
    steps = int(float(sys.argv[1] if len(sys.argv) > 1 else 2) * 1e6 / BATCH)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    prepare_process(1)
    warnings.simplefilter("ignore")
    torch.manual_seed(seed)
    model = small_bench(seed)
    truth = Truth.of(model)
    sample = model.sample(8 * BATCH)
    trainers = {
        name: Trainer(
            SAESettings(architecture=name, d_sae=WIDTH, k=L0, l1=L1, steps=steps, correlation_every=0),
            sample.mean(0),
            float(sample.norm(dim=1).mean()),
            1000 + seed,  # with the world's own seed the first weights would be the true features
            "cpu",
        )
        for name in ARCHITECTURES
    }
    for _ in range(steps):
        batch = model.sample(BATCH)
        for trainer in trainers.values():
            trainer.step(batch)
    for name, trainer in trainers.items():
        figures = evaluate(trainer.dictionary(), model, truth)
        print(json.dumps({"architecture": name, "seed": seed, "samples": steps * BATCH} | figures), flush=True)


if __name__ == "__main__":
    main()
