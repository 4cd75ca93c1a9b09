"""BatchTopK (Bussmann et al. 2024): the k * b largest pre-activations of a batch of b rows fire."""

import torch

from pipeline.sae.distributed import largest_of_all, n_processes
from pipeline.sae.kernels import Pattern
from pipeline.sae.weights import Weights

_MEMORY = 0.95  # of the running threshold: about the last twenty steps, so it keeps up with falling cuts


class BatchTopK:
    """Rows share a budget, so a rich token may use more latents than a plain one.

    After training a fixed threshold takes the place of the batch: the running mean of each batch's smallest firing
    pre-activation.
    """

    def __init__(self, k: int, prefixes: tuple[int, ...]) -> None:
        self.k = k
        self.prefixes = prefixes
        self.state = {"cut": 0.0, "threshold": 0.0}

    def fire(self, pre_bs: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        flat, value, cut = largest_of_all(pre_bs, self.k * len(pre_bs) * n_processes(), self.state["cut"])
        first = self.state["cut"] == 0.0
        kept = cut if first else _MEMORY * self.state["threshold"] + (1 - _MEMORY) * cut
        self.state = {"cut": cut, "threshold": kept}
        return flat, value

    def through(
        self, pattern: Pattern, value: torch.Tensor, gradient: torch.Tensor, pre_bs: torch.Tensor, weights: Weights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """No sparsity loss: the budget is the sparsity."""
        return value.new_zeros(()), gradient

    def inference(self, weights: Weights) -> tuple[torch.Tensor, int | None]:
        return torch.full_like(weights.b_enc, self.state["threshold"]), None
