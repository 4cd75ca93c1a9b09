"""How the sparse autoencoder is trained."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from pipeline.core.settings import (
    Count,
    CountOrZero,
    Fraction,
    NotNegative,
    Positive,
    Seed,
    Settings,
    Share,
    require,
    shaped,
)

Architecture = Literal["batch_topk", "topk", "matryoshka", "jump_relu", "relu"]


class Variation(Settings):
    """Another dictionary that trains on the same batches; what is null is as in section ``sae`` (or ``run.seed``)."""

    seed: Seed | None = None
    architecture: Architecture | None = None
    k: Count | None = None
    l1: NotNegative | None = None
    tree_threshold: Fraction | None = None
    tree_levels: Count | None = None
    tree_penalty: NotNegative | None = None


class SAESettings(Settings):
    """Section ``sae``. Activations are brought to a mean norm of 1 before training, which fixes the units.

    With ``pretrained`` nothing is trained, and the other keys are unused.
    """

    architecture: Architecture
    pretrained: Annotated[str, shaped(r"\S(.*\S)?", "a folder, a file or repository:folder, or null")] | None
    inputs: Literal["mean_norm", "standardised"]
    most_norm: Positive | None
    rarity: Share
    d_sae: Count
    k: Count
    prefix_shares: tuple[float, ...]
    l0_weight: NotNegative
    bandwidth: Positive
    l1: NotNegative
    learning_rate: Positive
    warm_up_steps: CountOrZero
    decay_share: Share
    batch_size: Count
    steps: Count
    aux_weight: NotNegative
    dead_after_tokens: Count
    checkpoint_every: Count
    correlation_every: CountOrZero
    tree_threshold: Fraction
    tree_levels: Count
    tree_penalty: NotNegative
    also: tuple[Variation, ...]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        require(self.k <= self.d_sae, f"k is {self.k}; it must lie between 1 and d_sae ({self.d_sae})")
        one_scale = self.inputs == "mean_norm" or self.architecture != "topk"
        require(one_scale, "inputs is standardised, which topk cannot undo: its latents compete in training's units")
        shares = self.prefix_shares
        require(
            bool(shares) and all(a < b for a, b in zip((0.0, *shares), shares, strict=False)) and shares[-1] <= 1,
            f"prefix_shares is {list(shares)}; it must be ascending shares of d_sae, above 0 and at most 1",
        )
        warm_up, steps = self.warm_up_steps, self.steps
        require(warm_up <= steps, f"warm_up_steps is {warm_up}; it must lie between 0 and steps ({steps})")
        penalised = self.tree_penalty > 0 and self.correlation_every == 0
        require(not penalised, "tree_penalty needs the groups of a snapshot; set correlation_every")
        require(not self.also or self.pretrained is None, "also needs training; leave out `sae.pretrained`")
        for variation in self.also:
            self.varied(variation)  # refuses what is impossible
        return self

    def varied(self, variation: Variation) -> "SAESettings":
        """These settings with what the variation names."""
        named = {key: value for key, value in variation if key != "seed" and value is not None}
        return self.but(also=(), **named)
