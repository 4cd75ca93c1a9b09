"""How the report is written."""

from dataclasses import dataclass

from pipeline.core.settings import require


@dataclass(frozen=True)
class ReportSettings:
    """Section ``report``."""

    shown_groups: int = 24
    words_per_group: int = 6
    shown_nodes: int = 3000

    def __post_init__(self) -> None:
        for name in ("shown_groups", "words_per_group", "shown_nodes"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")
