"""The tensors that training changes, and how they become a dictionary for raw residuals."""

import torch
from torch import nn

from pipeline.sae.dictionary import Dictionary


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

    def to_dictionary(self, scale: float, threshold_s: torch.Tensor, k: int | None) -> Dictionary:
        """Fold the division by 1 / ``scale`` (the mean norm) and the subtraction of b_dec into the weights.

        Training computes z = f((scale x - b_dec) W_enc^T + b_enc); its codes, biases and thresholds divided by
        ``scale`` are those of the raw x, and the decoder rows keep norm 1.
        """
        b_enc = self.b_enc - self.W_enc @ self.b_dec
        return Dictionary(
            self.W_enc.T.clone(),
            b_enc / scale,
            self.W_dec.clone(),
            self.b_dec / scale,
            threshold_s / scale,
            k,
        )
