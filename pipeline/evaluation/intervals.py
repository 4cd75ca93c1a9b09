"""Standard errors by resampling: whole clusters (probes of one fact stand or fall together), or halves of the items."""

from collections.abc import Callable, Sequence

import numpy as np

N_REPLICATES = 1000
N_HALVES = 20


def standard_error(values: np.ndarray, clusters: Sequence[str], seed: int) -> float:
    """Bootstrap standard error of the mean of ``values`` [n] when whole clusters are drawn; 0 for a single cluster."""
    return ratio_error(values, np.ones(len(values)), clusters, seed)


def ratio_error(
    top: np.ndarray,
    bottom: np.ndarray,
    clusters: Sequence[str],
    seed: int,
    of: Callable[[np.ndarray], np.ndarray] = lambda ratio: ratio,
) -> float:
    """Bootstrap standard error of ``of(sum(top) / sum(bottom))`` when whole clusters are drawn with replacement."""
    _, cluster_n = np.unique(np.asarray(clusters), return_inverse=True)
    top_c, bottom_c = np.bincount(cluster_n, weights=top), np.bincount(cluster_n, weights=bottom)
    n = len(top_c)
    drawn_rc = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_REPLICATES)
    return float(np.std(of((drawn_rc @ top_c) / (drawn_rc @ bottom_c)), ddof=1))


def half_sample_error(measure: Callable[[np.ndarray], np.ndarray], n: int, seed: int) -> np.ndarray:
    """Standard error of each of the numbers ``measure(items)``, over n items of which none may come twice.

    The delete-d jackknife with d = n / 2 (Shao & Wu 1989): the standard deviation over random halves, times
    sqrt((n - d) / d), which is 1. A bootstrap would draw items twice, which biases AMI, purity and edges.
    """
    rng = np.random.default_rng(seed)
    halves = [measure(np.sort(rng.choice(n, n - n // 2, replace=False))) for _ in range(N_HALVES)]
    return np.std(halves, axis=0, ddof=1) * np.sqrt((n - n // 2) / (n // 2))
