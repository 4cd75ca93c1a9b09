"""Settings of the stage ``correlate``.

Settings of the stage ``build_dendrogram``.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.core.settings import require

Similarity = Literal["pearson", "phi", "cosine", "jaccard", "containment", "loevinger", "loevinger_lower"]


@dataclass(frozen=True)
class CorrelationSettings:
    """Section ``correlation``."""

    token_similarity: Similarity = "pearson"
    document_similarity: Similarity = "pearson"
    window: int | None = None
    exact_up_to: int = 4096
    floor: float = 0.02
    alpha: float = 0.05
    memory_mib: int = 2048
    dense: bool = False
    scheduler: str = "threads"

    def __post_init__(self) -> None:
        require(self.window is None or self.window >= 1, f"window is {self.window}; it must be null or 1 or more")
        require(self.exact_up_to >= 0, f"exact_up_to is {self.exact_up_to}; it must be 0 or more")
        require(0 <= self.floor < 1, f"floor is {self.floor}; it must be a correlation from 0 to below 1")
        require(0 < self.alpha < 1, f"alpha is {self.alpha}; it must be a probability between 0 and 1")
        require(self.memory_mib >= 16, f"memory_mib is {self.memory_mib}; it must be 16 or more")
        known = self.scheduler in ("threads", "processes") or "://" in self.scheduler
        require(
            known, f"scheduler is {self.scheduler!r}; it must be threads, processes or an address (tcp://host:port)"
        )


@dataclass(frozen=True)
class DendrogramSettings:
    """Section ``dendrogram``."""

    scale: Literal["token", "document"] = "document"
    linkage: Literal["average", "complete", "weighted", "ward", "single"] = "average"
    levels: int = 3
    threshold: float = 0.5
    min_firings: int = 12
    bootstraps: int = 20

    def __post_init__(self) -> None:
        require(self.levels >= 1, f"levels is {self.levels}; it must be 1 or more")
        require(0 < self.threshold < 1, f"threshold is {self.threshold}; it must be a correlation between 0 and 1")
        require(self.min_firings >= 1, f"min_firings is {self.min_firings}; it must be 1 or more")
        require(self.bootstraps >= 2, f"bootstraps is {self.bootstraps}; it must be 2 or more")
