"""Rules with a threshold: ReLU with an L1 penalty, and JumpReLU.

    ReLU        the vanilla sparse autoencoder (Cunningham et al. 2023, Bricken et al. 2023)
    JumpReLU    each latent learns the threshold above which it fires (Rajamanoharan et al. 2024)

Here a pre-activation's own size decides; in ``topk`` its rank does.
"""

import torch

from pipeline.sae.dictionary import Weights
from pipeline.sae.distributed import largest_of_all, mean_, n_processes
from pipeline.sae.rules.select import above, positions
from pipeline.sae.sparse.products import Pattern


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


class JumpReLU:
    """L = ||x - x^||^2 + weight (L0 / k - 1)^2, L0 the mean number of latents that fire on a row of the batch.

    z = p where p > t, else 0. The step at t has no derivative, so t learns from the pre-activations within half a
    bandwidth e of it (straight-through): dz/dt = -(t / e) [|p - t| < e / 2], dL0/dt = -(1 / e) [|p - t| < e / 2].
    The sparsity loss with a target is that of Gemma Scope 2 and SAEBench: it makes runs comparable at equal L0.
    All thresholds begin at the cut that lets k latents fire on a row of the first batch: from near 0, where half of
    the latents fire, a short training never comes down to k.
    """

    def __init__(self, k: int, weight: float, bandwidth: float, d_sae: int) -> None:
        self.k = k
        self.weight = weight
        self.bandwidth = bandwidth
        self.prefixes = (d_sae,)
        self.state = {"begun": 0.0}

    def fire(self, pre_bs: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents just below their threshold take part with a code of 0: their thresholds learn too."""
        if not self.state["begun"]:
            weights.threshold.fill_(largest_of_all(pre_bs, self.k * len(pre_bs) * n_processes(), 0.0)[-1])
            self.state = {"begun": 1.0}
        flat = positions(pre_bs > weights.threshold - self.bandwidth / 2)
        pre = pre_bs.flatten()[flat]
        threshold = weights.threshold[flat % weights.d_sae]
        return flat, torch.where(pre > threshold, pre, 0.0)

    def through(
        self, pattern: Pattern, value: torch.Tensor, gradient: torch.Tensor, pre_bs: torch.Tensor, weights: Weights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        fires = value > 0
        n_rows = len(pre_bs)
        l0 = fires.sum() / n_rows
        mean_([l0])  # the loss is not linear in L0, so every process needs that of all rows
        excess = l0 / self.k - 1
        per_firing = 2 * self.weight * excess / (n_rows * self.k)  # dL/d(one latent firing on one row)
        threshold = weights.threshold[pattern.latent]
        near = (pre_bs[pattern.row, pattern.latent] - threshold).abs() < self.bandwidth / 2
        slope = torch.where(near, -(threshold * gradient + per_firing) / self.bandwidth, 0.0)
        weights.threshold.grad = torch.zeros_like(weights.threshold).index_add_(0, pattern.latent, slope)
        return self.weight * excess.square(), torch.where(fires, gradient, 0.0)

    def inference(self, weights: Weights) -> tuple[torch.Tensor, int | None]:
        return weights.threshold.clone(), None
