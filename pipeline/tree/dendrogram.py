"""From pair similarities to the tree: a condensed distance vector and fastcluster."""

import numba
import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.tree.correlation import Correlation, has_variance
from pipeline.tree.feature_tree import FeatureTree
from pipeline.tree.linkage import linkage_of, rounds_linkage

CONDENSED_UP_TO = 32768  # latents: 4 GiB of distances


def build_tree(correlation: Correlation, min_firings: int, method: str = "average") -> FeatureTree:
    """The dendrogram of all latents that fire in at least ``min_firings`` units and have a variance.

    The correlation of a rarer latent is noise that glues groups together; it is attached afterwards to the clustered
    latent it correlates with most. One that correlates with none stays outside, as dead latents do.
    """
    latents = clustered_latents(correlation, min_firings)
    if len(latents) < 2:
        raise PipelineError(_too_few(correlation, min_firings))
    return FeatureTree(cluster(correlation, latents, method), latents, *_nearest_clustered(correlation, latents))


def _too_few(correlation: Correlation, min_firings: int) -> str:
    sums, scale = correlation.sums, correlation.scale
    enough = int((sums.n >= max(1, min_firings)).sum())
    said = f"{enough} latents fire in at least {min_firings} {scale}s of {sums.n_units:,}"
    if enough < 2:
        return f"{said}, too few for a tree; lower dendrogram.min_firings or cache more tokens"
    return (
        f"{said}, but {'all' if not len(clustered_latents(correlation, min_firings)) else 'all but one'} have the same "
        f"value in every {scale}, so that they correlate with nothing; look at data/sae (sae.k, sae.l1) and at the text"
    )


def cluster(correlation: Correlation, latents: np.ndarray, method: str) -> np.ndarray:
    """The linkage of ``latents``. Up to ``CONDENSED_UP_TO`` of them exactly; beyond, average linkage on the sparse
    graph, a forest of the clusters of positive similarity that is joined flatly at height 1."""
    if len(latents) <= CONDENSED_UP_TO:
        return linkage_of(condensed_distance(correlation, latents), method)
    if method != "average":
        raise PipelineError(
            f"dendrogram.linkage {method} takes {len(latents):,} latents as one distance vector, more than "
            f"{CONDENSED_UP_TO:,}; set it to average or raise dendrogram.min_firings"
        )
    return sparse_average_linkage(correlation, latents)


def sparse_average_linkage(correlation: Correlation, latents: np.ndarray) -> np.ndarray:
    """Average linkage of ``latents`` from the listed pairs alone (see ``rounds``)."""
    i, j, r = _pairs_among(correlation, latents)
    return rounds_linkage(i, j, r, correlation.rank_one()[latents])[0]


def _pairs_among(correlation: Correlation, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaf numbers i < j and similarity of the listed pairs of ``latents``."""
    leaf_of = np.full(len(correlation.sums.n), -1, np.int64)
    leaf_of[latents] = np.arange(len(latents))
    i, j, r = leaf_of[correlation.pairs.i], leaf_of[correlation.pairs.j], correlation.pairs.r
    both = (i >= 0) & (j >= 0)
    return i[both], j[both], r[both]


def clustered_latents(correlation: Correlation, min_firings: int) -> np.ndarray:
    """Latent ids, int64, ascending."""
    enough = correlation.sums.n >= max(1, min_firings)
    return np.flatnonzero(enough & has_variance(correlation.sums))


def condensed_distance(correlation: Correlation, latents: np.ndarray) -> np.ndarray:
    """1 - r of all pairs of ``latents`` in scipy's condensed order, float64 [k (k - 1) / 2], within [0, 2].

    Listed pairs have their own r; all others never co-fire (or lie below the floor) and have -a_i a_j.
    """
    return _condensed(correlation.rank_one()[latents], *_pairs_among(correlation, latents))


@numba.njit(cache=True)
def _condensed(a, i, j, r):
    """Filled in place row by row: the square matrix would take twice the memory, and its conversion twice more."""
    n = len(a)
    distance = np.empty(n * (n - 1) // 2)
    at = 0
    for row in range(n):
        for column in range(row + 1, n):
            distance[at] = min(2.0, 1.0 + a[row] * a[column])
            at += 1
    for p in range(len(i)):
        at = i[p] * n - i[p] * (i[p] + 1) // 2 + j[p] - i[p] - 1
        distance[at] = max(0.0, 1.0 - np.float64(r[p]))
    return distance


def _nearest_clustered(correlation: Correlation, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents outside the tree that have a positively correlated latent inside, and the nearest such one."""
    inside = np.zeros(len(correlation.sums.n), bool)
    inside[latents] = True
    i, j, r = correlation.pairs.i, correlation.pairs.j, correlation.pairs.r
    use = (inside[i] != inside[j]) & (r > 0)
    i, j, r = i[use], j[use], r[use]
    outer, inner = np.where(inside[i], j, i), np.where(inside[i], i, j)
    best = np.lexsort((inner, -r, outer))  # per outer latent: greatest r first, then the smallest id
    rare, first = np.unique(outer[best], return_index=True)
    return rare.astype(np.int64), inner[best][first].astype(np.int64)
