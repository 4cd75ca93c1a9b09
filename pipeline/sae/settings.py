"""How the sparse autoencoder is trained."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from pipeline.core.settings import require

Architecture = Literal["batch_topk", "topk", "matryoshka", "jump_relu", "relu"]


@dataclass(frozen=True)
class Variation:
    """Another dictionary that trains on the same batches; what is null is as in section ``sae`` (or ``run.seed``)."""

    seed: int | None = None
    architecture: Architecture | None = None
    k: int | None = None
    l1: float | None = None
    tree_threshold: float | None = None
    tree_levels: int | None = None
    tree_penalty: float | None = None


@dataclass(frozen=True)
class SAESettings:
    """Section ``sae``. Activations are divided by their mean norm before training, which fixes the units.

    With ``pretrained`` nothing is trained, and the other keys are unused.
    """

    architecture: Architecture = "batch_topk"
    pretrained: str | None = None
    d_sae: int = 1024
    k: int = 16
    prefix_shares: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5, 1.0)
    l0_weight: float = 0.1
    bandwidth: float = 0.1
    l1: float = 0.04
    learning_rate: float = 2e-3
    warm_up_steps: int = 50
    decay_share: float = 0.2
    batch_size: int = 1024
    steps: int = 700
    aux_weight: float = 0.25
    dead_after_tokens: int = 50_000
    clip_norm: float = 1.0
    checkpoint_every: int = 200
    correlation_every: int = 100
    tree_threshold: float = 0.5
    tree_levels: int = 3
    tree_penalty: float = 0.03
    also: tuple[Variation, ...] = ()
    memory_mib: int = 4096

    def __post_init__(self) -> None:
        require(self.d_sae >= 1, f"d_sae is {self.d_sae}; a dictionary needs at least 1 latent")
        require(1 <= self.k <= self.d_sae, f"k is {self.k}; it must lie between 1 and d_sae ({self.d_sae})")
        shares = self.prefix_shares
        require(
            bool(shares) and all(a < b for a, b in zip((0.0, *shares), shares, strict=False)) and shares[-1] <= 1,
            f"prefix_shares is {list(shares)}; it must be ascending shares of d_sae, above 0 and at most 1",
        )
        require(self.l0_weight >= 0, f"l0_weight is {self.l0_weight}; it must be 0 or more")
        require(self.bandwidth > 0, f"bandwidth is {self.bandwidth}; it must be above 0")
        require(self.l1 >= 0, f"l1 is {self.l1}; it must be 0 or more")
        require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}; it must be above 0")
        require(self.steps >= 1, f"steps is {self.steps}; it must be at least 1")
        require(
            0 <= self.warm_up_steps <= self.steps,
            f"warm_up_steps is {self.warm_up_steps}; it must lie between 0 and steps ({self.steps})",
        )
        require(0 <= self.decay_share <= 1, f"decay_share is {self.decay_share}; it must lie between 0 and 1")
        require(self.batch_size >= 1, f"batch_size is {self.batch_size}; it must be at least 1")
        require(self.aux_weight >= 0, f"aux_weight is {self.aux_weight}; it must be 0 or more")
        require(
            self.dead_after_tokens >= 1,
            f"dead_after_tokens is {self.dead_after_tokens}; it must be at least 1",
        )
        require(self.clip_norm > 0, f"clip_norm is {self.clip_norm}; it must be above 0")
        require(self.checkpoint_every >= 1, f"checkpoint_every is {self.checkpoint_every}; it must be at least 1")
        require(
            self.correlation_every >= 0, f"correlation_every is {self.correlation_every}; it must be 0 (never) or more"
        )
        require(0 < self.tree_threshold < 1, f"tree_threshold is {self.tree_threshold}; it must lie between 0 and 1")
        require(self.tree_levels >= 1, f"tree_levels is {self.tree_levels}; it must be at least 1")
        require(self.tree_penalty >= 0, f"tree_penalty is {self.tree_penalty}; it must be 0 or more")
        require(
            self.tree_penalty == 0 or self.correlation_every > 0,
            "tree_penalty needs the groups of a snapshot; set correlation_every",
        )
        require(not self.also or self.pretrained is None, "also needs training; leave out `sae.pretrained`")
        require(self.memory_mib >= 1, f"memory_mib is {self.memory_mib}; it must be 1 or more")
        for variation in self.also:
            self.varied(variation)  # refuses what is impossible

    def varied(self, variation: Variation) -> "SAESettings":
        """These settings with what the variation names."""
        named = {key: value for key, value in asdict(variation).items() if key != "seed" and value is not None}
        return replace(self, also=(), **named)
