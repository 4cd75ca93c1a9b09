"""The activation rules a dictionary can be trained with; each is one file with this signature."""

from typing import Protocol

import torch

from pipeline.sae.dictionary import Weights
from pipeline.sae.rules.relu import JumpReLU, ReLU
from pipeline.sae.rules.topk import BatchTopK, Matryoshka, TopK
from pipeline.sae.settings import SAESettings
from pipeline.sae.sparse.products import Pattern


class Architecture(Protocol):
    """Which latents fire, what sparsity costs, and which threshold replaces the rule after training."""

    prefixes: tuple[int, ...]  # each prefix of the latents reconstructs alone; ends with d_sae
    state: dict[str, float]  # running numbers that a checkpoint must keep

    def fire(self, pre_bs: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        """Ascending flat positions in ``pre_bs`` of the latents that take part, and their codes (>= 0)."""
        ...

    def through(
        self, pattern: Pattern, value: torch.Tensor, gradient: torch.Tensor, pre_bs: torch.Tensor, weights: Weights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Given dL/dcode of the reconstruction: the sparsity loss (scalar) and dL/dpre with it included, [nnz].

        Writes the gradients of the architecture's own parameters.
        """
        ...

    def inference(self, weights: Weights) -> tuple[torch.Tensor, int | None]:
        """Threshold per latent [s], and k where a row keeps only its k largest codes."""
        ...


def architecture_of(settings: SAESettings) -> Architecture:
    """The rule that the settings name."""
    s = settings
    match s.architecture:
        case "batch_topk":
            return BatchTopK(s.k, (s.d_sae,))
        case "topk":
            return TopK(s.k, s.d_sae)
        case "matryoshka":
            return Matryoshka(s.k, s.d_sae, s.prefix_shares)
        case "jump_relu":
            return JumpReLU(s.k, s.l0_weight, s.bandwidth, s.d_sae)
        case "relu":
            return ReLU(s.l1, s.d_sae)
    raise AssertionError(s.architecture)
