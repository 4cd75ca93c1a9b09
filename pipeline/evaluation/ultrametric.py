"""A dendrogram as a row of leaves and the heights of the gaps between neighbours.

Two leaves are first together at the highest gap between them, so n - 1 numbers hold all n (n - 1) / 2 heights, a tree
restricted to some of its leaves is again such a row, and two trees over the same items compare item by item.
"""

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list

from pipeline.hierarchy.tree import FeatureTree


class Row(NamedTuple):
    """``item[p]`` stands at place p; ``gap[p]`` is the height at which places p and p + 1 are first together."""

    item: np.ndarray  # int64 [n], a permutation of 0 to n - 1
    gap: np.ndarray  # float64 [n - 1]

    def labels(self, k: int) -> np.ndarray:
        """Exactly ``k`` groups, the row cut at its k - 1 highest gaps (among equal ones the leftmost), int64 [n]."""
        begins = np.zeros(len(self.item), np.int64)
        begins[1 + np.argsort(-self.gap, kind="stable")[: k - 1]] = 1
        labels = np.empty_like(begins)
        labels[self.item] = np.cumsum(begins)
        return labels

    def groups_at(self, height: float) -> int:
        """How many groups a cut at ``height`` has, single items included."""
        return 1 + int((self.gap > height).sum())

    def heights(self) -> np.ndarray:
        """The height at which every two items are first together, float64 [n, n] with a zero diagonal."""
        height = np.zeros((len(self.item), len(self.item)))
        for place in range(len(self.gap)):
            height[self.item[place], self.item[place + 1 :]] = np.maximum.accumulate(self.gap[place:])
        return np.maximum(height, height.T)

    def shuffled(self, rng: np.random.Generator) -> "Row":
        """The same shape with the items permuted: what agreement is worth by chance."""
        return Row(rng.permutation(self.item), self.gap)


def row_of(tree: FeatureTree, latents: np.ndarray) -> Row:
    """The tree restricted to ``latents``, all of which it must hold; item i is ``latents[i]``."""
    item_of = np.full(int(tree.latents.max()) + 1, -1, np.int64)
    item_of[latents] = np.arange(len(latents))
    item = item_of[tree.latents[leaves_list(tree.linkage)]]
    kept = np.flatnonzero(item >= 0)
    return Row(item[kept], np.maximum.reduceat(_gaps(tree.linkage)[: kept[-1]], kept[:-1]))


def _gaps(linkage: np.ndarray) -> np.ndarray:
    """A merge joins two neighbouring stretches of the row; its height is that of the gap between them."""
    n_leaves = len(linkage) + 1
    first = np.empty(2 * n_leaves - 1, np.int64)
    first[leaves_list(linkage)] = np.arange(n_leaves)
    last, gap = first.copy(), np.empty(n_leaves - 1)
    for merge, (one, two) in enumerate(linkage[:, :2].astype(np.int64)):
        gap[min(last[one], last[two])] = linkage[merge, 2]
        first[n_leaves + merge] = min(first[one], first[two])
        last[n_leaves + merge] = max(last[one], last[two])
    return gap
