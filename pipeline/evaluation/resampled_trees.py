"""The tree against itself with other text: bootstrap replicates of whole documents, two halves of the corpus, and the

snapshots that training took. Only one dictionary is needed, so every run has these figures.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.evaluation.figures import Figures
from pipeline.evaluation.tree_agreement import Agreement, common_rows, compare
from pipeline.evaluation.ultrametric import Row
from pipeline.hierarchy.bootstrap import GROUPS, GroupSums, bootstrap_trees, group_sums, replicate
from pipeline.hierarchy.correlation import Correlation
from pipeline.hierarchy.dendrogram import cluster
from pipeline.hierarchy.stability import CANDIDATE
from pipeline.hierarchy.tree import FeatureTree, load_tree

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
