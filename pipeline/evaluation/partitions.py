"""How far two partitions, or two trees, over the same items agree: cuts, heights, triplets.

A dendrogram becomes a row of leaves and the heights of the gaps between neighbours. Two leaves are first together at
the highest gap between them, so n - 1 numbers hold all n (n - 1) / 2 heights, a tree restricted to some of its leaves
is again such a row, and two trees over the same items compare item by item.
"""

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list
from scipy.stats import rankdata
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, fowlkes_mallows_score

from pipeline.tree.feature_tree import FeatureTree


def ari(one: np.ndarray, two: np.ndarray) -> float:
    """Adjusted Rand index over all items: 1 the same groups, 0 what shuffled labels give."""
    return float(adjusted_rand_score(one, two))


def ami(one: np.ndarray, two: np.ndarray) -> float | None:
    """Adjusted mutual information over the items that are grouped on either side.

    Items that are alone in both agree about nothing, and thousands of them would pass for agreement. None without any.
    """
    some = grouped(one) | grouped(two)
    return float(adjusted_mutual_info_score(one[some], two[some])) if some.any() else None


def fowlkes_mallows(one: np.ndarray, two: np.ndarray) -> float:
    """B_k: pairs together in both, over the geometric mean of the pairs together in one and in the other; 0 to 1.

    Not adjusted for chance, so read it against shuffled items (Fowlkes & Mallows 1983).
    """
    return float(fowlkes_mallows_score(one, two))


def grouped(labels: np.ndarray) -> np.ndarray:
    """True for items that share their group, bool [n]."""
    _, number, count = np.unique(labels, return_inverse=True, return_counts=True)
    return count[number] > 1


def purity(labels: np.ndarray, classes: np.ndarray) -> float:
    """The share of items that are of their group's most frequent class; groups of one make it 1, so leave them out."""
    _, group = np.unique(labels, return_inverse=True)
    _, kind = np.unique(classes, return_inverse=True)
    count = np.zeros((group.max() + 1, kind.max() + 1), np.int64)
    np.add.at(count, (group, kind), 1)
    return float(count.max(1).sum() / len(labels))


CAP = 0.95  # 1 - correlation; above it average linkage joins what has nothing in common, in an order without meaning


def cophenetic(one: np.ndarray, two: np.ndarray) -> float | None:
    """Pearson correlation of the heights [n, n] at which pairs are first together, capped at ``CAP``.

    None where one side has all pairs at one height.
    """
    return _correlation(*(_pairs(height) for height in (one, two)))


def bakers_gamma(one: np.ndarray, two: np.ndarray) -> float | None:
    """Baker's gamma (1974): Spearman correlation of the stages at which pairs are first together.

    Pairs of one height share a stage, and so do all that join above ``CAP``. None as in ``cophenetic``.
    """
    return _correlation(*(rankdata(_pairs(height)) for height in (one, two)))


def triplet_agreement(one: np.ndarray, two: np.ndarray, triplets: np.ndarray) -> float | None:
    """Of the ``triplets`` [t, 3] in which both trees single out one item, the share where it is the same one.

    The single one is that which the other two do not wait for; a triplet of equal heights (capped) has none. Chance is
    1/3. None where no triplet is resolved by both.
    """
    out_one, out_two = (_odd_one_out(np.minimum(height, CAP), triplets) for height in (one, two))
    resolved = (out_one >= 0) & (out_two >= 0)
    return float((out_one == out_two)[resolved].mean()) if resolved.any() else None


def draw_triplets(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` random triplets of different items out of ``n`` >= 3, int64 [count, 3]; a triplet may come twice."""
    first, second, third = (rng.integers(0, n - i, count) for i in range(3))
    second += second >= first
    low, high = np.minimum(first, second), np.maximum(first, second)
    third += third >= low
    third += third >= high
    return np.stack([first, second, third], axis=1)


def _odd_one_out(height: np.ndarray, triplets: np.ndarray) -> np.ndarray:
    """0, 1 or 2: the item opposite to the pair that joins first; -1 where the heights are equal."""
    a, b, c = triplets.T
    joined = np.stack([height[b, c], height[a, c], height[a, b]])
    return np.where(joined.min(0) < joined.max(0), joined.argmin(0), -1)


def _pairs(height: np.ndarray) -> np.ndarray:
    return np.minimum(height[np.triu_indices(len(height), 1)], CAP)


def _correlation(one: np.ndarray, two: np.ndarray) -> float | None:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(np.corrcoef(one, two)[0, 1])


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
