"""A penalty that is cheaper when the latents that fire on a token are relatives (Jenatton et al. 2011).

Omega(z) = sum over cuts c of sum over groups g of cut c of ||z_g||_2, per row; the groups of finer cuts lie inside
those of coarser ones, so the groups form a tree. Latents of one group share one norm: k equal codes cost sqrt(k) in
one group and k in k groups. A latent that is alone at a cut is a group of its own, else belonging to a group would be
the dearer choice.
"""

import numpy as np
import torch

from pipeline.sae.sparse.products import Pattern


class TreePenalty:
    """``weight`` * mean over rows of Omega, with its gradient on the active codes."""

    def __init__(self, cuts: list[list[np.ndarray]], n_latents: int, weight: float, device: str) -> None:
        """``cuts`` are lists of groups of latent ids; latents outside all groups of a cut stand alone there."""
        self.weight = weight
        self.cuts = [_labels(groups, n_latents).to(device) for groups in cuts]

    def __call__(self, pattern: Pattern, value: torch.Tensor, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss (scalar) and dL/dvalue [nnz]."""
        share = self.weight / n_rows
        loss, gradient = value.new_zeros(()), torch.zeros_like(value)
        for group_s in self.cuts:
            key = pattern.row * (int(group_s.max()) + 1) + group_s[pattern.latent]
            _, cell = key.unique(return_inverse=True)
            norm = value.new_zeros(len(value)).index_add_(0, cell, value.square()).sqrt_()
            loss += share * norm.sum()
            gradient += share * value / norm[cell].clamp(min=1e-12)
        return loss, gradient


def _labels(groups: list[np.ndarray], n_latents: int) -> torch.Tensor:
    """Group number of every latent, int64 [s]."""
    labels = np.arange(len(groups), len(groups) + n_latents)  # each alone, until a group claims it
    for number, members in enumerate(groups):
        labels[members] = number
    return torch.from_numpy(labels)
