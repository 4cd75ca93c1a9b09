"""The linkage of a condensed distance vector, and of a sparse graph; the correlations at which every tree is cut.

On a sparse graph average linkage goes by rounds of reciprocal nearest neighbours: for more latents than a condensed
vector can hold (32k latents take 4 GiB), and for cheap bootstrap replicates.

Average linkage is reducible: merging two clusters never brings a third nearer than it was to one of them. So all
pairs that are each other's nearest neighbour can be merged at once, in any order, and the tree is the same as from
one merge at a time (where similarities do not tie). State: W, the sparse sums of r + a a' between clusters; sizes;
sums of a. The similarity of clusters A and B is (W_AB - a_A a_B) / (|A| |B|), exact also for pairs that never co-fire.
"""

import math

import fastcluster
import numpy as np
import scipy.sparse as sparse

METHODS = ("average", "complete", "weighted", "ward", "single")


def linkage_of(distance: np.ndarray, method: str) -> np.ndarray:
    """Scipy's linkage of a condensed 1 - r, which is overwritten; the heights are on the scale of 1 - r.

    Ward needs Euclidean distances, sqrt(2 (1 - r)) between standardised latents; its heights h are given as h^2 / 2,
    which is 1 - r again for a merge of two leaves.
    """
    if method == "ward":
        distance = np.sqrt(np.multiply(distance, 2, out=distance), out=distance)
    n = math.isqrt(2 * len(distance)) + 1
    linkage = np.empty((n - 1, 4))
    # fastcluster 1.3.0's linkage() copies a vector before it looks at preserve_input=False, which doubles the peak.
    fastcluster.linkage_wrap(n, distance, linkage, fastcluster.mthidx[method])
    if method == "ward":
        linkage[:, 2] = linkage[:, 2] ** 2 / 2
    return linkage


def cut_correlations(threshold: float, levels: int) -> list[float]:
    """The correlation of every cut, coarsest first: level l of L is at l/L of ``threshold``.

    >>> cut_correlations(0.6, 3)
    [0.2, 0.4, 0.6]
    """
    return [round(threshold * level / levels, 6) for level in range(1, levels + 1)]


def rounds_linkage(
    i: np.ndarray, j: np.ndarray, r: np.ndarray, a: np.ndarray, least: float = 0.0
) -> tuple[np.ndarray, int]:
    """Scipy's linkage (heights 1 - r) over ``len(a)`` leaves from pairs i < j, and how many merges it found.

    Clusters whose mean similarity is not above ``least`` are not merged: the remaining roots are joined flatly at
    height 1 - least, in order of their first leaf. That join means nothing; the result is a forest.
    """
    n = len(a)
    weight = sparse.coo_array((r.astype(np.float64) + a[i] * a[j], (i, j)), shape=(n, n)).tocsr()
    size, mean, node = np.ones(n), a.astype(np.float64), np.arange(n)
    merges: list[np.ndarray] = []
    while weight.nnz:
        similarity, first, second = _reciprocal_pairs(weight, size, mean, least)
        if len(first) == 0:
            break
        merged = n + sum(map(len, merges)) + np.arange(len(first))
        merges.append(np.stack([node[first], node[second], 1 - similarity, size[first] + size[second]], axis=1))
        weight, size, mean, node = _contract(weight, size, mean, node, first, second, merged)
    found = np.concatenate(merges) if merges else np.empty((0, 4))
    return _by_height(_join_roots(found, node, size, 1 - least), n), len(found)


def _reciprocal_pairs(
    weight: sparse.csr_array, size: np.ndarray, mean: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarity, first < second: clusters that are each other's nearest. Ties go to the smallest number, which
    leaves at least one such pair as long as any similarity exceeds ``least``."""
    upper = weight.tocoo()
    similarity = (upper.data - mean[upper.row] * mean[upper.col]) / (size[upper.row] * size[upper.col])
    use = similarity > least
    row, column, similarity = upper.row[use], upper.col[use], similarity[use]
    here, there = np.concatenate([row, column]), np.concatenate([column, row])
    both = np.concatenate([similarity, similarity])
    best = np.full(len(size), -np.inf)
    np.maximum.at(best, here, both)
    at_best = both == best[here]
    nearest = np.full(len(size), len(size))
    np.minimum.at(nearest, here[at_best], there[at_best])
    cluster = np.flatnonzero(nearest < len(size))
    first = cluster[(nearest[nearest[cluster]] == cluster) & (cluster < nearest[cluster])]
    return best[first], first, nearest[first]


def _contract(weight, size, mean, node, first, second, merged):
    """Merge each ``second`` into its ``first`` and renumber the clusters that are left; W stays upper triangular."""
    target = np.arange(len(size))
    target[second] = first
    node = node.copy()
    node[first] = merged
    kept, number = np.unique(target, return_inverse=True)
    upper = weight.tocoo()
    row, column = number[upper.row], number[upper.col]
    low, high = np.minimum(row, column), np.maximum(row, column)
    outside = low != high
    shape = (len(kept), len(kept))
    weight = sparse.coo_array((upper.data[outside], (low[outside], high[outside])), shape=shape).tocsr()
    weight.sum_duplicates()
    return weight, np.bincount(number, size), np.bincount(number, mean), node[kept]


def _join_roots(merges: np.ndarray, roots: np.ndarray, size: np.ndarray, height: float) -> np.ndarray:
    """The merges plus a chain that joins what is left at one height."""
    n = len(merges) + len(roots)  # leaves
    joined = np.arange(len(merges), len(merges) + len(roots) - 1) + n
    left = np.concatenate([roots[:1], joined[:-1]]) if len(joined) else roots[:0]
    chain = np.stack([left, roots[1:], np.full(len(joined), height), np.cumsum(size)[1:]], axis=1)
    return np.concatenate([merges, chain])


def _by_height(merges: np.ndarray, n: int) -> np.ndarray:
    """The same merges sorted by height, as scipy wants them."""
    height = np.concatenate([np.zeros(n), merges[:, 2]])
    for k, (left, right) in enumerate(merges[:, :2].astype(np.int64), start=n):
        height[k] = max(height[k], height[left], height[right])  # equal heights may differ in the last bit
    merges = merges.copy()
    merges[:, 2] = height[n:]
    order = np.argsort(merges[:, 2], kind="stable")
    new_number = np.arange(n + len(merges), dtype=np.float64)
    new_number[n + order] = n + np.arange(len(merges))
    linkage = merges[order]
    linkage[:, :2] = np.sort(new_number[linkage[:, :2].astype(np.int64)], axis=1)
    return linkage
