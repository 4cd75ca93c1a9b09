"""How text like a few examples is found."""

from dataclasses import dataclass, field, fields

from pipeline.core.settings import require


@dataclass(frozen=True)
class ContrastSettings:
    """Section ``scope.contrast``: by retriever, the weight of the other node that a document is most like."""

    tree: float = 0.75
    residual: float = 0.5
    flat: float = 0.5
    tfidf: float = 0.0
    tfidf_expanded: float = 0.0
    shuffled_tree: float = 0.75

    def __post_init__(self) -> None:
        for name in (of.name for of in fields(self)):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")


@dataclass(frozen=True)
class ScopeSettings:
    """Section ``scope``."""

    clip: float = 3.0
    power: float = 1.5
    residual_weight: float = 0.3
    inside: float = 0.3
    contrast: ContrastSettings = field(default_factory=ContrastSettings)

    def __post_init__(self) -> None:
        for name in ("clip", "power"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}; it must be above 0")
        require(0 < self.inside <= 1, f"inside is {self.inside}; it must be in (0, 1]")
        require(self.residual_weight >= 0, f"residual_weight is {self.residual_weight}; it must be 0 or more")
