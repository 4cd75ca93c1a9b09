"""ReLU with an L1 penalty: the vanilla sparse autoencoder (Cunningham et al. 2023, Bricken et al. 2023)."""

import torch

from pipeline.sae.kernels import Pattern
from pipeline.sae.select import above
from pipeline.sae.weights import Weights


class ReLU:
    """L = ||x - x^||^2 + l1 * sum_f |z_f|, per row; decoder rows have norm 1, so |z_f| is a latent's true size."""

    def __init__(self, l1: float, d_sae: int) -> None:
        self.l1 = l1
        self.prefixes = (d_sae,)
        self.state: dict[str, float] = {}

    def fire(self, pre_bs: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        return above(pre_bs, 0.0)

    def through(
        self, pattern: Pattern, value: torch.Tensor, gradient: torch.Tensor, pre_bs: torch.Tensor, weights: Weights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        per_row = self.l1 / len(pre_bs)
        return per_row * value.sum(), gradient + per_row

    def inference(self, weights: Weights) -> tuple[torch.Tensor, int | None]:
        return torch.zeros_like(weights.b_enc), None
