"""How learned gates are trained."""

from dataclasses import dataclass, field

from pipeline.settings.strict import require
from pipeline.settings.training import RETAINED

TERMS = ("uniform", "hinge", "entropy")


@dataclass(frozen=True)
class GateSettings:
    """Sections ``unlearning.gates_flat`` and ``gates_tree``."""

    learning_rates: tuple[float, ...] = (0.1,)
    steps: int = 30
    strengths: tuple[float, ...] = (0.7, 1.0, 1.5)
    forget_batch: int = 24
    retain_batch: dict[str, int] = field(default_factory=lambda: {"sibling": 48, "other": 48, "general": 4})
    forget_terms: dict[str, float] = field(default_factory=lambda: {"uniform": 1.0, "hinge": 1.0, "entropy": 0.0})
    retain_weights: dict[str, float] = field(default_factory=lambda: {"sibling": 2.0, "other": 2.0, "general": 2.0})
    sparsity: float = 0.06

    def __post_init__(self) -> None:
        for name in ("learning_rates", "strengths"):
            values = getattr(self, name)
            require(len(values) > 0 and min(values) > 0, f"{name} must be one or more numbers above 0")
        for name in ("steps", "forget_batch"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name, known in (("retain_batch", RETAINED), ("retain_weights", RETAINED), ("forget_terms", TERMS)):
            unknown = sorted(set(getattr(self, name)) ^ set(known))
            require(not unknown, f"{name} must have just {', '.join(known)}; see {', '.join(unknown)}")
            require(min(getattr(self, name).values()) >= 0, f"{name} holds a number below 0")
        require(min(self.retain_batch.values()) >= 1, "retain_batch holds a number below 1")
        require(max(self.forget_terms.values()) > 0, "forget_terms are all 0; nothing would be forgotten")
        require(self.sparsity >= 0, f"sparsity is {self.sparsity}; it must be 0 or more")
