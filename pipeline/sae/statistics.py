"""Sufficient statistics of the codes that training produces anyway: no second pass for their correlation."""

import numpy as np
import torch
from scipy.sparse import csr_array, vstack

from pipeline.sae.distributed import sum_
from pipeline.sae.kernels import Pattern

_FOLD_ABOVE = 4_000_000  # buffered active codes: 64 MB


class CodeStatistics:
    """Rows, firings, sums and products of the codes since the last ``clear``; float64, since sums of squares cancel.

    Codes are buffered as sparse rows and multiplied some millions at a time: L0^2 products per row, whatever the
    number of latents. The products need 8 s^2 bytes (8 MB at 1024 latents, 2 GB at 16 384).
    """

    def __init__(self, n_latents: int) -> None:
        self.n_latents = n_latents
        self.clear()

    def clear(self) -> None:
        self.rows = 0
        self.fired_s = np.zeros(self.n_latents, np.int64)
        self.sum_s = np.zeros(self.n_latents)
        self.product_ss = np.zeros((self.n_latents, self.n_latents))
        self._buffer: list[csr_array] = []

    def add(self, pattern: Pattern, value: torch.Tensor, n_rows: int) -> None:
        """Take in a batch's codes."""
        row_offsets = pattern.offsets[:: pattern.n_bags // n_rows]
        parts = (value.double(), pattern.latent, row_offsets)
        self._buffer.append(csr_array(tuple(p.cpu().numpy() for p in parts), shape=(n_rows, self.n_latents)))
        if sum(codes.nnz for codes in self._buffer) > _FOLD_ABOVE:
            self._fold()

    def _fold(self) -> None:
        if not self._buffer:
            return
        codes = vstack(self._buffer, format="csr")
        self._buffer = []
        self.rows += codes.shape[0]
        self.fired_s += np.bincount(codes.indices[codes.data > 0], minlength=self.n_latents)
        self.sum_s += codes.sum(axis=0)
        products = (codes.T @ codes).tocoo()
        self.product_ss[products.row, products.col] += products.data

    def share(self) -> None:
        """Sum over the processes of a data-parallel training."""
        self._fold()
        rows = torch.tensor(self.rows)
        for total in (rows, *map(torch.from_numpy, (self.fired_s, self.sum_s, self.product_ss))):
            sum_(total)
        self.rows = int(rows)

    def correlation(self, latents: np.ndarray) -> np.ndarray:
        """Pearson correlation over rows of some latents, float64; each must vary.

        r_ij = (sum z_i z_j / n - m_i m_j) / (sd_i sd_j)
        """
        self._fold()
        mean = self.sum_s[latents] / self.rows
        covariance = self.product_ss[np.ix_(latents, latents)] / self.rows - np.outer(mean, mean)
        sd = np.sqrt(np.diag(covariance))
        return np.clip(covariance / np.outer(sd, sd), -1, 1)

    def frequent(self, at_least: int) -> np.ndarray:
        """Latents with so many firings, and as many rows without one; ascending."""
        self._fold()
        return np.flatnonzero((self.fired_s >= at_least) & (self.fired_s <= self.rows - at_least))

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        self._fold()
        arrays = {"rows": np.array(self.rows), "fired": self.fired_s, "sum": self.sum_s, "product": self.product_ss}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        self._buffer = []
        self.rows = int(tensors["rows"])
        self.fired_s, self.sum_s, self.product_ss = (
            tensors[name].numpy().copy() for name in ("fired", "sum", "product")
        )
