"""How much of the tree would be there again with other documents: cuts, nodes, and where to cut best."""

from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from scipy.cluster.hierarchy import cophenet
from sklearn.metrics import adjusted_rand_score

from pipeline.tree.bootstrap import GROUPS, bootstrap_trees, group_sums
from pipeline.tree.correlation import Correlation
from pipeline.tree.dendrogram import condensed_distance
from pipeline.tree.feature_tree import FeatureTree

CANDIDATE = 0.02  # similarity above which a pair is followed through the replicates
CURVE = [round(0.05 * step, 2) for step in range(1, 20)]  # correlations of the stability curve


class CutStability(NamedTuple):
    """Agreement of one cut with its replicates: adjusted Rand index, 1 = the same groups, 0 = chance."""

    correlation: float
    groups: int  # with at least two latents
    grouped_latents: int
    ari: float
    ari_sd: float
    ari_null: float  # the replicate's leaves shuffled


def cut_stability(
    tree: FeatureTree, replicates: list[FeatureTree], correlations: list[float], seed: int
) -> list[CutStability]:
    """Every cut's agreement with the replicates' cut at the same correlation."""
    rng = np.random.default_rng(seed)
    rows = []
    for correlation in correlations:
        labels = tree.labels(correlation)
        sizes = np.bincount(labels)
        others = [other.labels(correlation) for other in replicates]
        ari = [adjusted_rand_score(labels, other) for other in others]
        null = [adjusted_rand_score(labels, rng.permutation(other)) for other in others]
        grouped = int(sizes[sizes > 1].sum())
        row = (int((sizes > 1).sum()), grouped, np.mean(ari), np.std(ari, ddof=1), np.mean(null))
        rows.append(CutStability(correlation, *row[:2], *map(float, row[2:])))
    return rows


class Stability(NamedTuple):
    """``cuts`` at the asked correlations, ``curve`` over the whole range, ``plateaus`` the correlations at which the
    curve is highest, ``node`` [m] per merge the mean best Jaccard overlap with a node of a replicate (NaN where the
    merge has no positive correlation)."""

    cuts: list[CutStability]
    curve: list[CutStability]
    plateaus: list[float]
    node: np.ndarray
    cophenetic_correlation: float

    def as_json(self, tree: FeatureTree, replicates: int) -> dict[str, Any]:
        """Content of ``stability.json``."""
        groups = ", ".join(f"{row.groups} groups at r >= {row.correlation:g} (ARI {row.ari:.2f})" for row in self.cuts)
        return {
            "replicates": replicates,
            "document_groups": GROUPS,
            "cophenetic_correlation": self.cophenetic_correlation,
            "cuts": [{"level": level, **row._asdict()} for level, row in enumerate(self.cuts, start=1)],
            "curve": [row._asdict() for row in self.curve],
            "plateaus": self.plateaus,
            "summary": f"{tree.n_leaves} latents, {len(tree.rare)} rare attached, {groups}",
        }


def stability_of(
    codes: Path,
    correlation: Correlation,
    tree: FeatureTree,
    cuts: list[float],
    method: str,
    replicates: int,
    seed: int,
) -> Stability:
    """The tree against bootstrap replicates, and how well its heights keep the similarities.

    Candidates are the pairs of clustered latents above ``CANDIDATE``; all weaker ones count as never co-firing, for
    the replicates only.
    """
    inside = np.zeros(len(correlation.sums.n), bool)
    inside[tree.latents] = True
    pairs = correlation.pairs
    sums = group_sums(codes, correlation, inside[pairs.i] & inside[pairs.j] & (pairs.r > CANDIDATE))
    trees = list(bootstrap_trees(correlation, sums, tree, method, replicates, seed))
    curve = cut_stability(tree, trees, CURVE, seed)
    return Stability(
        cut_stability(tree, trees, cuts, seed),
        curve,
        plateaus(curve, len(cuts), tree.n_leaves),
        node_stability(tree, trees),
        cophenetic_correlation(correlation, tree),
    )


def plateaus(curve: list[CutStability], levels: int, n_leaves: int) -> list[float]:
    """At most ``levels`` correlations, ascending, where the curve of agreement has its highest local maxima.

    The curve is smoothed over three neighbours first: a plateau beats a spike. A cut that groups less than a tenth of
    the latents, or all into one, says nothing and is passed over.
    """
    ari = np.array([row.ari for row in curve])
    smooth = np.convolve(np.pad(ari, 1, "edge"), np.full(3, 1 / 3), "valid")
    padded = np.pad(smooth, 1, constant_values=-np.inf)
    summit = (smooth >= padded[:-2]) & (smooth > padded[2:])
    tells = [row.groups >= 2 and row.grouped_latents >= 0.1 * n_leaves for row in curve]
    found = np.flatnonzero(summit & tells)
    best = found[np.argsort(-smooth[found], kind="stable")][:levels]
    return sorted(curve[k].correlation for k in best)


def node_stability(tree: FeatureTree, replicates: list[FeatureTree]) -> np.ndarray:
    """Per merge of positive correlation: the mean over replicates of the best Jaccard overlap with any of their
    nodes; 1 = found again member by member. NaN for the others. float64 [m]."""
    overlap = np.zeros(len(tree.linkage))
    order, start, stop = tree._spans
    for other in replicates:
        limit = other.heights < 1
        size = other.sizes.astype(np.float64)
        first = tree.n_leaves
        positive = tree.linkage[:, 2] < 1
        overlap += _best_overlaps(order, start[first:], stop[first:], positive, other.parents, size, limit)
    return np.where(tree.linkage[:, 2] < 1, overlap / max(1, len(replicates)), np.nan)


@numba.njit(cache=True, nogil=True)
def _best_overlaps(order, start, stop, positive, parent, size, inside):
    """Best Jaccard of each node (a span of leaves) with a node of another tree, found on its leaves' way upwards."""
    best = np.zeros(len(start))
    count = np.zeros(len(parent), np.int64)
    touched = np.empty(len(parent), np.int64)
    for node in range(len(start)):
        if not positive[node]:
            continue
        n_touched = 0
        for leaf in range(start[node], stop[node]):
            at = order[leaf]
            while at >= 0 and inside[at]:
                if count[at] == 0:
                    touched[n_touched] = at
                    n_touched += 1
                count[at] += 1
                at = parent[at]
        members = stop[node] - start[node]
        for t in range(n_touched):
            at = touched[t]
            best[node] = max(best[node], count[at] / (members + size[at] - count[at]))
            count[at] = 0
    return best


def cophenetic_correlation(correlation: Correlation, tree: FeatureTree) -> float:
    """Pearson correlation of the pairs' distances with the heights at which they are merged; 0 if one is constant."""
    distance, height = condensed_distance(correlation, tree.latents), cophenet(tree.linkage)
    if distance.std() == 0 or height.std() == 0:
        return 0.0
    return float(np.corrcoef(distance, height)[0, 1])
