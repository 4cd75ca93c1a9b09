"""Settings of the stage ``build_dendrogram``."""

from dataclasses import dataclass
from typing import Literal

from pipeline.settings.strict import require


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
