"""How the methods that train weights are trained."""

from dataclasses import dataclass, field

from pipeline.settings.strict import require

RETAINED = ("sibling", "other", "general")


@dataclass(frozen=True)
class TrainingSettings:
    """Sections ``unlearning.grad_ascent``, ``grad_diff``, ``npo``, ``npo_attacked``, ``scope_npo``, ``group_adapter``.

    Batches count probes of about 16 tokens; a longer text stands for as many probes as fit in it.
    """

    learning_rate: float = 1e-3
    steps: int = 15
    calibration_steps: int = 30
    forget_batch: int = 24
    retain_batch: dict[str, int] = field(default_factory=lambda: {"sibling": 24, "other": 48, "general": 8})
    retain_weight: float = 10.0
    beta: float = 0.1
    attack_steps: int = 0
    attack_rate: float = 5e-4
    strengths: tuple[float, ...] = (0.8, 1.0, 1.2, 1.4)

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}; it must be above 0")
        require(self.calibration_steps >= 0, f"calibration_steps is {self.calibration_steps}; it must be 0 or more")
        require(self.attack_steps >= 0, f"attack_steps is {self.attack_steps}; it must be 0 or more")
        require(self.attack_rate > 0, f"attack_rate is {self.attack_rate}; it must be above 0")
        for name in ("steps", "forget_batch"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")
        unknown = sorted(set(self.retain_batch) ^ set(RETAINED))
        require(not unknown, f"retain_batch must have just sibling, other and general; see {', '.join(unknown)}")
        require(min(self.retain_batch.values()) >= 1, "retain_batch holds a number below 1")
        require(len(self.strengths) > 0 and min(self.strengths) > 0, "strengths must be one or more numbers above 0")
        require(self.retain_weight >= 0, f"retain_weight is {self.retain_weight}; it must be 0 or more")
        require(self.beta > 0, f"beta is {self.beta}; it must be above 0")
