"""Which co-firings are more than chance: the exact tail of the count, with Bonferroni over all pairs."""

import math

import numba
import numpy as np


def significant_pairs(
    n_units: int, n: np.ndarray, i: np.ndarray, j: np.ndarray, n_ij: np.ndarray, alpha: float
) -> np.ndarray:
    """True where P(count >= n_ij) < alpha / M for two latents that fire independently, bool [p].

    The count of common units is then hypergeometric (the two firing counts are given). M is the number of pairs of
    latents that fire at all, so that the whole matrix has less than ``alpha`` false pairs expected. Normal theory
    (r sqrt(N)) is not used: counts are tiny and it passes tens of thousands of false pairs.
    """
    return _tail_below(n_units, n, i, j, n_ij, _log_bound(n, alpha))


def enough_units(n_units: int, n: np.ndarray, alpha: float) -> bool:
    """Whether any pair at all could be significant: none is less likely than two that share one half of the units."""
    half = n_units // 2
    return log_tail(n_units, half, half, half) < _log_bound(n, alpha)


def _log_bound(n: np.ndarray, alpha: float) -> float:
    alive = int(np.count_nonzero(n))
    return math.log(alpha / max(1, alive * (alive - 1) // 2))


@numba.njit(cache=True, nogil=True)
def _tail_below(n_units, n, i, j, n_ij, log_bound):
    below = np.zeros(len(i), np.bool_)
    for p in range(len(i)):
        below[p] = log_tail(n_units, n[i[p]], n[j[p]], n_ij[p]) < log_bound
    return below


@numba.njit(cache=True, nogil=True)
def log_tail(n_units, n_i, n_j, n_ij):
    """log P(X >= n_ij), X hypergeometric: n_j draws without replacement from n_units of which n_i are marked.

    The first term through log-gamma, the rest by the ratio of neighbours, which is below 1 above the mean. At or
    below the mean the tail is no evidence and 0 (probability 1) is returned.
    """
    if n_ij <= n_i * (n_j / n_units):
        return 0.0
    first = _log_choose(n_i, n_ij) + _log_choose(n_units - n_i, n_j - n_ij) - _log_choose(n_units, n_j)
    total, term = 1.0, 1.0
    for k in range(n_ij, min(n_i, n_j)):
        term *= (n_i - k) / (k + 1) * ((n_j - k) / (n_units - n_i - n_j + k + 1))
        total += term
        if term < 1e-16 * total:
            break
    return min(0.0, first + math.log(total))


@numba.njit(cache=True, nogil=True)
def _log_choose(n, k):
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)
