"""Two partitions of the same items: do they group the same things?"""

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, fowlkes_mallows_score


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
