"""A trained sparse autoencoder as every later stage uses it, and the tensors in training that become one."""

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


class Weights(nn.Module):
    """Encoder and decoder, both latent-major [s, d] so that an active latent is one contiguous row of each.

    Units: activations are divided by their mean norm before training, so that a learning rate or an L1 weight means
    the same on every model and layer. Gradients are written by hand: autograd never sees these tensors.
    """

    def __init__(self, mean_d: torch.Tensor, d_sae: int, seed: int) -> None:
        """Decoder rows are random unit vectors, the encoder starts as their copy, b_dec at the data's mean."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        rows_sd = torch.randn(d_sae, len(mean_d), generator=generator)
        rows_sd /= rows_sd.norm(dim=1, keepdim=True)
        self.W_enc = nn.Parameter(rows_sd.clone(), requires_grad=False)  # [s, d]
        self.W_dec = nn.Parameter(rows_sd, requires_grad=False)  # [s, d], rows of norm 1
        self.b_enc = nn.Parameter(torch.zeros(d_sae), requires_grad=False)
        self.b_dec = nn.Parameter(mean_d.float().clone(), requires_grad=False)
        self.threshold = nn.Parameter(torch.zeros(d_sae), requires_grad=False)  # JumpReLU learns it

    @property
    def d_sae(self) -> int:
        return len(self.b_enc)

    def project_decoder_gradient(self) -> None:
        """Take out of W_dec's gradient what would only change a row's length."""
        along_s = (self.W_dec.grad * self.W_dec).sum(1, keepdim=True)
        self.W_dec.grad.addcmul_(along_s, self.W_dec, value=-1)

    def project(self) -> None:
        """After an update: decoder rows of norm 1, else long rows with small codes evade an L1 penalty; thresholds
        not below 0."""
        self.W_dec /= self.W_dec.norm(dim=1, keepdim=True).clamp(min=1e-8)
        self.threshold.clamp_(min=0.0)

    def to_dictionary(self, scale_d: torch.Tensor, threshold_s: torch.Tensor, k: int | None) -> Dictionary:
        """Fold the scale of the inputs (a number, or one a dimension) and the subtraction of b_dec into the weights.

        Training computes z = f((scale x - b_dec) W_enc^T + b_enc). With one number, its codes, biases and thresholds
        divided by it are those of the raw x, and the decoder rows keep norm 1. With one a dimension, the raw decoder
        rows W_dec / scale are brought to norm 1 again, and codes, biases and thresholds take their length.
        """
        b_enc = self.b_enc - self.W_enc @ self.b_dec
        if scale_d.dim() == 0:
            scale = scale_d.item()
            W_enc, W_dec = self.W_enc.T.clone(), self.W_dec.clone()
            return Dictionary(W_enc, b_enc / scale, W_dec, self.b_dec / scale, threshold_s / scale, k)
        scale_d = scale_d.float()
        raw_sd = self.W_dec / scale_d
        length_s = raw_sd.norm(dim=1)
        return Dictionary(
            (self.W_enc * scale_d * length_s[:, None]).T,
            b_enc * length_s,
            raw_sd / length_s[:, None],
            self.b_dec / scale_d,
            threshold_s * length_s,
            k,
        )
