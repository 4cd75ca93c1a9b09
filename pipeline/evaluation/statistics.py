"""The form of every evaluation file (means, standard errors, the values behind them), and errors by resampling.

Whole clusters are resampled (probes of one fact stand or fall together), or halves of the items.
"""

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


class Figures:
    """Collects named figures of one final_info entry.

    ``values`` keeps what each mean is made of (``{"agg_value", "value_by_index"}``), so that any comparison can be
    redone from the file.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.means: dict[str, float] = {}
        self.stderrs: dict[str, float] = {}
        self.values: dict[str, dict] = {}

    def mean(
        self, name: str, ids: Sequence[str], values: np.ndarray, clusters: Sequence[str], scale: float = 1
    ) -> None:
        """The mean of ``scale * values``, its bootstrap standard error over clusters, and the values by item id."""
        scaled = scale * np.asarray(values, dtype=np.float64)
        self.number(name, float(scaled.mean()), standard_error(scaled, clusters, self.seed))
        self._keep(name, ids, scaled)

    def sample(self, name: str, ids: Sequence[str], values: np.ndarray) -> None:
        """The mean of independent ``values``, its standard error sd / sqrt(n) if there are several, and the values."""
        many = len(values) > 1
        self.number(name, float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if many else None)
        self._keep(name, ids, values)

    def number(self, name: str, value: float, stderr: float | None = None) -> None:
        """One number, with its standard error where it has one."""
        self.means[name] = float(value)
        if stderr is not None:
            self.stderrs[name] = float(stderr)

    def _keep(self, name: str, ids: Sequence[str], values: np.ndarray) -> None:
        by_id = dict(zip(ids, values.round(6).tolist(), strict=True))
        self.values[name] = {"agg_value": self.means[name], "value_by_index": by_id}

    def as_dict(self) -> dict:
        """The entry as it is written."""
        return {"means": self.means, "stderrs": self.stderrs, "values": self.values}
