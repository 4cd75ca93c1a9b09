"""A trained sparse autoencoder as every later stage uses it: encode, decode, nothing to train."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn


class SparseRows(NamedTuple):
    """Codes of n rows in CSR form; inside a row the latents are in ascending order."""

    indptr: np.ndarray  # int64 [n + 1]
    index: np.ndarray  # uint16 or uint32 [nnz], the latent
    value: np.ndarray  # float32 [nnz], > 0


class Dictionary(nn.Module):
    """z = f(x W_enc + b_enc), x^ = z W_dec + b_dec, on raw residuals x.

    ``f`` keeps a pre-activation that exceeds its latent's ``threshold`` (>= 0; all zeros is the plain ReLU)
    and sets the others to 0 (JumpReLU, Rajamanoharan et al. 2024). With ``k`` it keeps only the k largest
    of each row. Whatever training did to its inputs (scale, subtraction of b_dec) is folded into the weights.
    """

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        threshold: torch.Tensor | None = None,
        k: int | None = None,
    ) -> None:
        super().__init__()
        if threshold is None:
            threshold = torch.zeros_like(b_enc)
        self.W_enc = nn.Parameter(W_enc.float().contiguous(), requires_grad=False)  # [d, s]
        self.b_enc = nn.Parameter(b_enc.float().contiguous(), requires_grad=False)  # [s]
        self.W_dec = nn.Parameter(W_dec.float().contiguous(), requires_grad=False)  # [s, d]
        self.b_dec = nn.Parameter(b_dec.float().contiguous(), requires_grad=False)  # [d]
        self.threshold = nn.Parameter(threshold.float().contiguous(), requires_grad=False)  # [s]
        self.k = k

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[1]

    def encode(self, acts_bd: torch.Tensor) -> torch.Tensor:
        """Dense codes [..., s] of activations [..., d]; differentiable in the activations."""
        pre = acts_bd.to(self.W_enc.dtype) @ self.W_enc + self.b_enc  # [..., s]
        codes = torch.where(pre > self.threshold, pre, 0.0)
        if self.k is None:
            return codes
        value, latent = codes.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(codes).scatter(-1, latent, value)

    def encode_some(self, acts_bd: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """``encode(acts)[..., latents]``; unless latents compete for k places the others are never computed."""
        if self.k is not None:
            return self.encode(acts_bd)[..., latents]
        pre = acts_bd.to(self.W_enc.dtype) @ self.W_enc[:, latents] + self.b_enc[latents]
        return torch.where(pre > self.threshold[latents], pre, 0.0)

    def decode(self, codes_bs: torch.Tensor) -> torch.Tensor:
        """Reconstructed activations [..., d] of codes [..., s]."""
        return codes_bs @ self.W_dec + self.b_dec

    def forward(self, acts_bd: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(acts_bd))

    @torch.no_grad()
    def encode_sparse(self, acts_nd: torch.Tensor) -> SparseRows:
        """The non-zero codes of activations [n, d] as numpy arrays, row by row."""
        codes = self.encode(acts_nd).cpu().numpy()
        row, latent = codes.nonzero()
        indptr = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=len(codes)), out=indptr[1:])
        return SparseRows(indptr, latent.astype(latent_dtype(self.d_sae)), codes[row, latent])


def latent_dtype(d_sae: int) -> type[np.unsignedinteger]:
    """The smallest stored integer type that can number ``d_sae`` latents."""
    return np.uint16 if d_sae <= 1 << 16 else np.uint32
