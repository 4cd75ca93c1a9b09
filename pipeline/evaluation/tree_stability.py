"""The tree against itself: with other documents (bootstrap, two halves of the corpus) and with its snapshots.

Every measure stands beside what shuffled leaves would give. Only one dictionary is needed, so every run has these.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.evaluation.partitions import (
    Row,
    ami,
    ari,
    bakers_gamma,
    cophenetic,
    draw_triplets,
    fowlkes_mallows,
    row_of,
    triplet_agreement,
)
from pipeline.evaluation.statistics import Figures
from pipeline.tree.bootstrap import GROUPS, GroupSums, bootstrap_trees, group_sums, replicate
from pipeline.tree.correlation import Correlation
from pipeline.tree.dendrogram import cluster
from pipeline.tree.feature_tree import ROUNDING, FeatureTree, load_tree
from pipeline.tree.stability import CANDIDATE

MOST_ITEMS = 1500  # of which all pairs are compared; beyond, a random sample of them
N_TRIPLETS = 50_000
CURVE = (8, 16, 32, 64, 128, 256, 512)  # numbers of groups of the Fowlkes-Mallows curve


class Agreement(NamedTuple):
    """Two trees; each list has one number per cut. None where the measure is not defined."""

    groups: list[int]  # of both trees: the first one's cut at its correlation, single items included
    ari: list[float]
    ami: list[float | None]
    cophenetic: float | None
    bakers_gamma: float | None
    triplets: float | None
    bk: dict[int, float]  # by number of groups

    def named(self, level_names: bool = True) -> dict[str, float]:
        """One number per name, ``ari_level_1`` and so on; ``bk`` is the mean of the curve. What is None is absent."""
        levels = {f"{name}_level_{i}": x for name in ("ari", "ami") for i, x in enumerate(getattr(self, name), 1)}
        whole = {name: getattr(self, name) for name in ("cophenetic", "bakers_gamma", "triplets")}
        curve = {"bk": float(np.mean(list(self.bk.values())))} if self.bk else {}
        return {name: x for name, x in {**levels, **whole, **curve}.items() if x is not None}


def compare(one: Row, two: Row, correlations: list[float], seed: int) -> Agreement:
    """Cuts at matched numbers of groups: as many in ``two`` as ``one`` has at each correlation, coarsest first."""
    n = len(one.item)
    cuts = [one.groups_at(1 - correlation + ROUNDING) for correlation in correlations]
    pairs = [(one.labels(k), two.labels(k)) for k in cuts]
    heights = one.heights(), two.heights()
    triplets = draw_triplets(n, N_TRIPLETS, np.random.default_rng(seed))
    return Agreement(
        cuts,
        [ari(*pair) for pair in pairs],
        [ami(*pair) for pair in pairs],
        cophenetic(*heights),
        bakers_gamma(*heights),
        triplet_agreement(*heights, triplets),
        {k: fowlkes_mallows(one.labels(k), two.labels(k)) for k in CURVE if k < n},
    )


def common_rows(
    one: FeatureTree, two: FeatureTree, pairs: np.ndarray, seed: int, most: int = MOST_ITEMS
) -> tuple[Row, Row] | None:
    """Both trees over the ``pairs`` [p, 2] of latents (one's, two's) that both have clustered, ``most`` at most.

    None where fewer than four pairs remain.
    """
    kept = pairs[np.isin(pairs[:, 0], one.latents) & np.isin(pairs[:, 1], two.latents)]
    if len(kept) > most:
        kept = kept[np.sort(np.random.default_rng(seed).choice(len(kept), most, replace=False))]
    return (row_of(one, kept[:, 0]), row_of(two, kept[:, 1])) if len(kept) >= 4 else None


REPLICATES = 10  # bootstraps, and splits into halves
NULLS = 3  # of them that are compared with shuffled leaves too: their spread is small

Pair = tuple[FeatureTree, FeatureTree]


def stability_figures(
    figures: Figures,
    tree: FeatureTree,
    correlation: Correlation,
    codes: Path,
    linkage: str,
    cuts: list[float],
    snapshots: Path,
) -> None:
    """``bootstrap_*``, ``halves_*`` and ``snapshots_*``, each with its ``*_null``: the means over pairs of trees.

    A snapshot is compared with the one before it, the last two of them; they are trees by token whatever ``tree`` is.
    """
    sums = candidate_sums(codes, correlation, tree)
    replicates = bootstrap_trees(correlation, sums, tree, linkage, REPLICATES, figures.seed)
    _collect(figures, "bootstrap", ((tree, other) for other in replicates), cuts)
    _collect(figures, "halves", halves(correlation, sums, tree, linkage, figures.seed), cuts)
    last_two = [load_tree(place) for place in sorted(snapshots.glob("step_*"))[-2:]]
    if len(last_two) == 2:
        _collect(figures, "snapshots", iter([(last_two[0], last_two[1])]), cuts)


def candidate_sums(codes: Path, correlation: Correlation, tree: FeatureTree) -> GroupSums:
    """The sums per group of documents on the pairs of clustered latents above ``CANDIDATE``; see ``bootstrap``."""
    inside = np.zeros(len(correlation.sums.n), bool)
    inside[tree.latents] = True
    pairs = correlation.pairs
    return group_sums(codes, correlation, inside[pairs.i] & inside[pairs.j] & (pairs.r > CANDIDATE))


def halves(correlation: Correlation, sums: GroupSums, tree: FeatureTree, linkage: str, seed: int) -> Iterator[Pair]:
    """Trees from two halves of the documents that share none, over the same latents; a new split every time."""
    rng = np.random.default_rng(seed)
    for _ in range(REPLICATES):
        first = rng.permutation(np.arange(GROUPS) % 2)
        one, two = (replicate(correlation, sums, half) for half in (first, 1 - first))
        yield tuple(FeatureTree(cluster(half, tree.latents, linkage), tree.latents) for half in (one, two))


def _collect(figures: Figures, name: str, pairs: Iterator[Pair], cuts: list[float]) -> None:
    rng = np.random.default_rng(figures.seed)
    found: list[Agreement] = []
    null: list[Agreement] = []
    for one, two in pairs:
        rows = _shared_rows(one, two, figures.seed)
        if rows is None:
            continue
        found.append(compare(*rows, cuts, figures.seed))
        if len(null) < NULLS:
            null.append(compare(rows[0], rows[1].shuffled(rng), cuts, figures.seed))
    for suffix, agreements in (("", found), ("_null", null)):
        _write(figures, name, suffix, [agreement.named() for agreement in agreements])
    if found:
        figures.values[f"{name}_bk"] |= {"curve": {k: float(np.mean([a.bk[k] for a in found])) for k in found[0].bk}}


def _shared_rows(one: FeatureTree, two: FeatureTree, seed: int) -> tuple[Row, Row] | None:
    both = np.intersect1d(one.latents, two.latents)
    return common_rows(one, two, np.stack([both, both], axis=1), seed)


def _write(figures: Figures, name: str, suffix: str, named: list[dict[str, float]]) -> None:
    """``halves_ari_level_1`` and ``halves_ari_null_level_1``: what is not defined for every pair is left out."""
    for figure in set.intersection(*map(set, named)) if named else ():
        stem, mark, level = figure.partition("_level_")
        values = np.array([row[figure] for row in named])
        figures.sample(f"{name}_{stem}{suffix}{mark}{level}", [str(i) for i in range(len(values))], values)
