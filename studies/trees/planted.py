"""Does the tree recover a planted hierarchy? 8 super families x 8 groups x 8 leaves, with their parents and noise.

`python -m studies.trees.planted` writes results/planted.json: ARI of the leaves' groups and
super families at the best cut, and F1 of the parent edges, per similarity and setting, mean of 5 seeds.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from pipeline.tree.correlation import Correlation, Pairs, significant_pairs
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.export import parents_of_latents
from pipeline.tree.feature_tree import FeatureTree
from pipeline.tree.kernels import SIMILARITIES, columns, latent_sums, pairs_of_rows, standardisation
from pipeline.tree.units import Sums, Units

RESULT = Path(__file__).parent / "results/planted.json"
COMPARED = ("pearson", "phi", "loevinger", "loevinger_lower")
N_LEAVES, N_GROUPS, N_SUPER, N_NOISE, N_DENSE = 512, 64, 8, 300, 6


class Setting(NamedTuple):
    n_tokens: int
    miss: float  # probability that a latent stays silent though it should fire
    false: float  # firings elsewhere, relative to its own rate
    leaf_rate: tuple[float, float]  # of P(leaf | group)
    log_uniform: bool = False  # many rare leaves instead of an even spread


SETTINGS = {
    "het": Setting(200_000, 0.15, 0.0, (0.03, 0.9)),
    "het, rare leaves": Setting(200_000, 0.15, 0.0, (0.03, 0.9), log_uniform=True),
    "hard": Setting(200_000, 0.4, 2.0, (0.3, 0.4)),
}


def planted(setting: Setting, seed: int) -> tuple[Units, np.ndarray]:
    """Tokens, and the true parent of each latent (-1 = none). Order: leaves, groups,
    super families, noise, dense."""
    rng = np.random.default_rng(seed)
    n = setting.n_tokens
    over = rng.random((n, N_SUPER)) < 0.03
    group = np.repeat(over, 8, axis=1) & (rng.random((n, N_GROUPS)) < 0.35)
    low, high = setting.leaf_rate
    spread = rng.uniform(size=N_LEAVES)
    given = low * (high / low) ** spread if setting.log_uniform else low + (high - low) * spread
    leaf = np.repeat(group, 8, axis=1) & (rng.random((n, N_LEAVES), np.float32) < given)
    fires = np.concatenate([leaf, group, over], axis=1)
    rate = fires.mean(0)
    kept = rng.random(fires.shape, np.float32) >= setting.miss
    fires = fires & kept | (rng.random(fires.shape, np.float32) < setting.false * rate)
    noise = rng.random((n, N_NOISE), np.float32) < np.exp(rng.uniform(np.log(1e-3), np.log(3e-2), N_NOISE))
    dense = rng.random((n, N_DENSE), np.float32) < 0.4
    fires = np.concatenate([fires, noise, dense], axis=1)
    parent = np.full(fires.shape[1], -1)
    parent[:N_LEAVES] = N_LEAVES + np.arange(N_LEAVES) // 8
    parent[N_LEAVES : N_LEAVES + N_GROUPS] = N_LEAVES + N_GROUPS + np.arange(N_GROUPS) // 8
    rows, index = np.nonzero(fires)
    indptr = np.searchsorted(rows, np.arange(n + 1))
    value = rng.lognormal(0, 0.5, len(index)).astype(np.float32)
    return Units(indptr, index.astype(np.uint16), value, np.zeros(n, np.int32), fires.shape[1]), parent


def correlation_of(units: Units, similarity: str) -> Correlation:
    """The exact correlation of units in memory, for tests and benchmarks of what comes after it."""
    kind, n_latents = SIMILARITIES[similarity], units.n_latents
    sums = Sums(units.n_units, *latent_sums(units.index, units.value, n_latents))
    where = columns(units.indptr, units.index, 0, n_latents)
    measure = kind, sums.n_units, sums.n, standardisation(kind, *sums), -2.0, 1
    pairs = Pairs(*pairs_of_rows(0, n_latents, *where, units.index, units.value, *measure))
    significant = significant_pairs(sums.n_units, sums.n, pairs.i, pairs.j, pairs.n_ij, 0.05)
    return Correlation("token", None, similarity, None, sums, pairs, significant)


def best_ari(tree: FeatureTree, truth: np.ndarray) -> float:
    """ARI of the best cut on the planted leaves; ``truth`` has a class per leaf latent."""
    leaf_of = np.argsort(tree.latents)[:N_LEAVES]
    heights = tree.linkage[100::2, 2]
    return max(adjusted_rand_score(truth, tree.labels(1 - height)[leaf_of]) for height in heights)


def parent_f1(correlation: Correlation, parent: np.ndarray) -> float:
    found = parents_of_latents(correlation)
    right = int((parent[found.child] == found.parent).sum())
    return 2 * right / (len(found.child) + int((parent >= 0).sum()))


def scores(setting: Setting, seed: int, similarities: tuple[str, ...] = COMPARED) -> dict[str, list[float]]:
    """Per similarity: ARI of the groups, ARI of the super families, F1 of the parents."""
    units, parent = planted(setting, seed)
    leaves, rows = np.arange(N_LEAVES), {}
    for similarity in similarities:
        correlation = correlation_of(units, similarity)
        tree = build_tree(correlation, 1)
        found = best_ari(tree, leaves // 8), best_ari(tree, leaves // 64), parent_f1(correlation, parent)
        rows[similarity] = list(found)
    return rows


def main() -> None:
    table = {}
    for name, setting in SETTINGS.items():
        runs = [scores(setting, seed) for seed in range(5)]
        for similarity in runs[0]:
            means = np.mean([run[similarity] for run in runs], axis=0).round(3).tolist()
            table.setdefault(name, {})[similarity] = dict(
                zip(("group_ari", "super_ari", "parent_f1"), means, strict=True)
            )
        print(name, table[name], flush=True)
    text = json.dumps(table, indent=1)
    RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
