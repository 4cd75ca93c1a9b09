"""How the methods that train weights are trained.

How learned gates are trained.

Which methods forget which targets, and what each one sweeps on the dev split.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

from pipeline.core.settings import require

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


Method = Literal[
    "flat_frequency",
    "flat_log_odds",
    "flat_importance",
    "flat_difference",
    "flat_worth",
    "flat_ablated",
    "level_cut",
    "subtree",
    "subtree_ablated",
    "random_groups",
    "gates_flat",
    "gates_tree",
    "shuffled_tree",
    "guard_flat",
    "guard_tree",
    "fixed_vector",
    "grad_ascent",
    "grad_diff",
    "npo",
    "npo_attacked",
    "rmu",
    "group_adapter",
    "scope_npo",
]
METHODS: tuple[Method, ...] = get_args(Method)
MAIN: tuple[Method, ...] = ("npo", "flat_frequency", "level_cut", "subtree", "guard_flat", "random_groups")
MORE: tuple[Method, ...] = (
    "scope_npo",
    "grad_diff",
    "rmu",
    "flat_log_odds",
    "flat_importance",
    "flat_difference",
    "flat_worth",
    "flat_ablated",
    "subtree_ablated",
    "gates_flat",
    "gates_tree",
    "shuffled_tree",
    "guard_tree",
    "fixed_vector",
)


@dataclass(frozen=True)
class FewShotSettings:
    """Section ``unlearning.few_shot``: what ``scope_npo`` is given and how it finds the rest."""

    given: int = 2
    documents: int = 16
    retriever: Literal["tree", "residual", "residual_tree", "flat", "tfidf", "tfidf_expanded"] = "tree"

    def __post_init__(self) -> None:
        for name in ("given", "documents"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")


@dataclass(frozen=True)
class UnlearningSettings:
    """Section ``unlearning``.

    ``targets`` says what to forget, one node for each level of interest: its number in order of first appearance in the
    corpus. An overlay whose corpus has other levels inherits the targets of the world's levels; they are left out.
    ``methods`` forget the targets of every level, ``more_methods`` those of one level besides.
    """

    targets: dict[str, int] = field(default_factory=lambda: {"domain": 0, "topic": 5, "entity": 43})
    methods: tuple[Method, ...] = MAIN
    more_methods: dict[str, tuple[Method, ...]] = field(default_factory=lambda: {"topic": MORE})
    workers: int = 2
    tree_scale: dict[str, str] = field(
        default_factory=lambda: {"domain": "document", "topic": "document", "entity": "token"}
    )
    multipliers: tuple[float, ...] = (1.0, 3.0)
    mean_ablation: bool = False
    latents: tuple[int, ...] = (5, 15, 40)
    retain_rates: tuple[float, ...] = (0.003, 0.01, 0.03)
    frequency_constants: tuple[float, ...] = (3.0, 10.0)
    text_shares: tuple[float, ...] = (0.1, 0.3)
    ratio_percentiles: tuple[float, ...] = (80.0, 95.0)
    magnitude_ratios: tuple[float, ...] = (1.0, 3.0)
    groups: tuple[int, ...] = (1, 2, 4, 8)
    worths: tuple[Literal["firing", "effect", "both"], ...] = ("firing",)
    retain_weights: tuple[float, ...] = (1.0, 2.0, 4.0)
    sibling_weight: float = 1.0
    node_cost: float = 0.005
    shrinkage_tokens: float = 50.0
    guard_multipliers: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    vector_multipliers: tuple[float, ...] = (2.0, 4.0, 8.0)
    guard_quantile: float = 0.995
    train_probes: int = 1000
    dev_probes: int = 80
    dev_texts: int = 30
    npo: TrainingSettings = field(default_factory=TrainingSettings)
    grad_diff: TrainingSettings = field(default_factory=TrainingSettings)
    grad_ascent: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=1e-4))
    rmu: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=3e-3, steps=60))
    rmu_steering: float = 5.0
    scope_npo: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            learning_rate=5e-4, steps=60, calibration_steps=0, retain_weight=5.0, strengths=(1.0,)
        )
    )
    few_shot: FewShotSettings = field(default_factory=FewShotSettings)
    npo_attacked: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(retain_weight=20.0, attack_steps=10)
    )
    group_adapter: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            learning_rate=5e-3, steps=30, calibration_steps=40, retain_weight=20.0, attack_steps=10
        )
    )
    adapter_rank: int = 32
    gates_flat: GateSettings = field(default_factory=lambda: GateSettings(learning_rates=(0.5,), sparsity=0.03))
    gates_tree: GateSettings = field(default_factory=GateSettings)
    gate_leaves: int = 150
    gate_power: float = 0.5

    def methods_at(self, level: str) -> tuple[Method, ...]:
        """What forgets the target of one level, each method once."""
        return tuple(dict.fromkeys((*self.methods, *self.more_methods.get(level, ()))))

    def __post_init__(self) -> None:
        for level, node in self.targets.items():
            require(node >= 0, f"targets.{level} is {node}; it must be 0 or more")
        require(len(self.methods) > 0, f"methods is empty; name at least one of {', '.join(METHODS)}")
        for scale in self.tree_scale.values():
            require(scale in ("token", "document"), f"tree_scale holds {scale!r}; it must be token or document")
        for name in (
            "multipliers",
            "guard_multipliers",
            "vector_multipliers",
            "retain_weights",
            "retain_rates",
            "frequency_constants",
            "text_shares",
            "ratio_percentiles",
            "magnitude_ratios",
        ):
            require(len(getattr(self, name)) > 0, f"{name} is empty; give at least one value")
            require(min(getattr(self, name)) >= 0, f"{name} holds a value below 0")
        for name in ("latents", "groups"):
            require(len(getattr(self, name)) > 0, f"{name} is empty; give at least one value")
            require(min(getattr(self, name)) >= 1, f"{name} holds a value below 1")
        require(max(self.text_shares) <= 1, "text_shares holds a value above 1; they are shares")
        require(max(self.ratio_percentiles) <= 100, "ratio_percentiles holds a value above 100")
        require(len(self.worths) > 0, "worths is empty; name firing, effect or both")
        require(self.gate_leaves >= 1, f"gate_leaves is {self.gate_leaves}; it must be 1 or more")
        require(0 <= self.gate_power <= 1, f"gate_power is {self.gate_power}; it must lie between 0 and 1")
        require(self.node_cost >= 0, f"node_cost is {self.node_cost}; it must be 0 or more")
        require(self.sibling_weight >= 0, f"sibling_weight is {self.sibling_weight}; it must be 0 or more")
        require(self.shrinkage_tokens >= 0, f"shrinkage_tokens is {self.shrinkage_tokens}; it must be 0 or more")
        require(0.5 <= self.guard_quantile < 1, f"guard_quantile is {self.guard_quantile}; it must be in [0.5, 1)")
        require(self.rmu_steering > 0, f"rmu_steering is {self.rmu_steering}; it must be above 0")
        for name in ("workers", "train_probes", "dev_probes", "dev_texts", "adapter_rank"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")
