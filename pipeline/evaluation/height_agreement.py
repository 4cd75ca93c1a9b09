"""Do two trees over the same items join the same pairs early? Over all pairs, and over triplets of items."""

import numpy as np
from scipy.stats import rankdata

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
