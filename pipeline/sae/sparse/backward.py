"""Reconstruction and its gradients by hand, from the active latents alone."""

from typing import NamedTuple

import torch

from pipeline.sae.dictionary import Weights
from pipeline.sae.sparse.products import Pattern, inner, latent_sums, row_sums


class Reconstruction(NamedTuple):
    """How far a batch's reconstruction is from its rows."""

    loss: torch.Tensor  # scalar: mean over rows and prefixes of ||x^ - x||^2
    error_bd: torch.Tensor  # x^ - x of the whole dictionary
    later_errors: torch.Tensor  # [bags, d], the errors of all prefixes that a bag takes part in, summed
    slope: float  # dL/d(what a bag adds to its row) = slope * later_errors; never multiplied out, for speed


def reconstruct(
    pattern: Pattern, value: torch.Tensor, weights: Weights, centred_bd: torch.Tensor, n_prefixes: int
) -> Reconstruction:
    """Decode once; prefix i reconstructs with the sum of bags 0..i, so bag i matters to the prefixes from i on."""
    n_rows, d_model = centred_bd.shape
    sums = row_sums(pattern, value, weights.W_dec).view(n_rows, n_prefixes, d_model)
    error = (sums.cumsum(1) if n_prefixes > 1 else sums).sub_(centred_bd[:, None])  # [b, prefixes, d]
    share = 1 / (n_rows * n_prefixes)
    later = error.flip(1).cumsum(1).flip(1) if n_prefixes > 1 else error
    return Reconstruction(sum_of_squares(error) * share, error[:, -1], later.view(-1, d_model), 2 * share)


def sum_of_squares(tensor: torch.Tensor) -> torch.Tensor:
    """In one pass, without a temporary of the tensor's size."""
    return torch.linalg.vector_norm(tensor).square()


def code_gradient(pattern: Pattern, weights: Weights, reconstruction: Reconstruction) -> torch.Tensor:
    """dL/dz of each active latent, [nnz]."""
    return inner(pattern, reconstruction.later_errors, weights.W_dec).mul_(reconstruction.slope)


def weight_gradients(
    pattern: Pattern,
    value: torch.Tensor,
    pre_gradient: torch.Tensor,
    centred_bd: torch.Tensor,
    reconstruction: Reconstruction,
    weights: Weights,
) -> None:
    """Write the gradients of W_dec, W_enc and b_enc; ``close_b_dec`` must follow."""
    weights.W_dec.grad = latent_sums(pattern, value * reconstruction.slope, reconstruction.later_errors, pattern.bag)
    weights.W_enc.grad = latent_sums(pattern, pre_gradient, centred_bd, pattern.row)
    weights.b_enc.grad = torch.zeros_like(weights.b_enc).index_add_(0, pattern.latent, pre_gradient)


def close_b_dec(reconstruction: Reconstruction, weights: Weights) -> None:
    """b_dec is added to every reconstruction and subtracted from every input.

    Through the encoder its gradient is -(sum of dL/dpre over rows) W_enc, which needs no product of batch size
    (Gao et al. 2024); so it comes last, when b_enc's gradient is complete.
    """
    n_rows, d_model = reconstruction.error_bd.shape
    first_bag = reconstruction.later_errors.view(n_rows, -1, d_model)[:, 0]  # the sum over all prefixes
    weights.b_dec.grad = first_bag.sum(0).mul_(reconstruction.slope) - weights.b_enc.grad @ weights.W_enc


def revive(
    pre_bs: torch.Tensor,
    dead: torch.Tensor,
    error_bd: torch.Tensor,
    centred_bd: torch.Tensor,
    weights: Weights,
    weight: float,
) -> torch.Tensor:
    """AuxK (Gao et al. 2024): dead latents learn to reconstruct what the living ones missed.

    L = weight * min(1, n_dead / k_aux) * mean over rows of ||(x - x^) - sum over k_aux dead latents z_f W_dec[f]||^2,
    k_aux = d / 2, the error taken as constant. Adds to the gradients; returns the loss. Dense over the dead latents,
    which are few: their k_aux codes a row would make embedding bags slower.
    """
    n_rows, d_model = centred_bd.shape
    k_aux = max(1, d_model // 2)
    codes = pre_bs[:, dead].relu_()  # [b, dead]
    if len(dead) > k_aux:
        smallest = codes.kthvalue(len(dead) - k_aux + 1, dim=1, keepdim=True).values
        codes = torch.where(codes >= smallest, codes, 0.0)
    rows_xd = weights.W_dec[dead]
    missed = codes @ rows_xd + error_bd
    share = weight * min(1.0, len(dead) / k_aux) / n_rows
    gradient = (2 * share) * missed
    pre_gradient = torch.where(codes > 0, gradient @ rows_xd.T, 0.0)
    weights.W_dec.grad.index_add_(0, dead, codes.T @ gradient)
    weights.W_enc.grad.index_add_(0, dead, pre_gradient.T @ centred_bd)
    weights.b_enc.grad.index_add_(0, dead, pre_gradient.sum(0))
    return share * sum_of_squares(missed)
