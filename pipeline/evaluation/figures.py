"""The form of every evaluation file: means, standard errors, and the values behind them."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.intervals import standard_error


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
