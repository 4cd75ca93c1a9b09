"""Standard errors by bootstrap over clusters: probes of one fact stand or fall together."""

from collections.abc import Callable, Sequence

import numpy as np

N_REPLICATES = 1000


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
