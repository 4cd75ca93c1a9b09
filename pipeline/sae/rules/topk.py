"""Rules that count: TopK, BatchTopK, and Matryoshka on BatchTopK.

    TopK          the k largest pre-activations of every row fire (Gao et al. 2024)
    BatchTopK     the k * b largest pre-activations of a batch of b rows fire (Bussmann et al. 2024)
    Matryoshka    nested prefixes of the latents reconstruct alone (Bussmann et al. 2025):

L = mean over prefixes m of ||x - (sum over f < m of z_f W_dec[f] + b_dec)||^2. The first latents must do without the
later ones, so they keep the general features, and a specific latent does not absorb its parent. One decode serves all
prefixes: each adds its own group of latents to the sum of those before.
"""

import numpy as np
import torch

from pipeline.sae.dictionary import Weights
from pipeline.sae.distributed import largest_of_all, n_processes
from pipeline.sae.rules.select import positions
from pipeline.sae.sparse.products import Pattern


class TopK:
    """The same rule in training and after it."""

    def __init__(self, k: int, d_sae: int) -> None:
        self.k = k
        self.prefixes = (d_sae,)
        self.state: dict[str, float] = {}

    def fire(self, pre_bs: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        flat = positions((pre_bs >= _kth_largest(pre_bs, self.k)) & (pre_bs > 0))
        return flat, pre_bs.flatten()[flat]

    def through(
        self, pattern: Pattern, value: torch.Tensor, gradient: torch.Tensor, pre_bs: torch.Tensor, weights: Weights
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """No sparsity loss: k is the sparsity."""
        return value.new_zeros(()), gradient

    def inference(self, weights: Weights) -> tuple[torch.Tensor, int | None]:
        return torch.zeros_like(weights.b_enc), self.k


def _kth_largest(pre_bs: torch.Tensor, k: int) -> torch.Tensor:
    """[b, 1]; on a CPU numpy's partition takes half the time of torch's topk."""
    if pre_bs.is_cuda:
        return pre_bs.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    place = pre_bs.shape[1] - k
    return torch.from_numpy(np.partition(pre_bs.numpy(), place, axis=1)[:, place : place + 1])


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


class Matryoshka(BatchTopK):
    """BatchTopK's rule over all latents; only the loss is nested."""

    def __init__(self, k: int, d_sae: int, shares: tuple[float, ...]) -> None:
        """``shares`` are the prefixes as ascending shares of ``d_sae``; the whole follows if it is not the last."""
        ends = {max(1, round(share * d_sae)) for share in shares}
        super().__init__(k, tuple(sorted(ends | {d_sae})))
