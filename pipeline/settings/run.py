"""Settings that every stage shares."""

from dataclasses import dataclass
from typing import Literal

from pipeline.settings.strict import require


@dataclass(frozen=True)
class RunSettings:
    """Section ``run``."""

    seed: int = 0
    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"seed is {self.seed}; it must be 0 or more")
        require(self.threads >= 1, f"threads is {self.threads}; it must be 1 or more")
