"""Sufficient statistics of the codes that training produces anyway: no second pass for their correlation."""

import numba
import numpy as np
import torch

from pipeline.sae.distributed import sum_
from pipeline.sae.sparse.products import Pattern


class CodeStatistics:
    """Rows, firings, sums and products of the codes since the last ``clear``; float64, since sums of squares cancel.

    L0^2 / 2 products per row, whatever the number of latents: only those of (i, j >= i). They need 8 s^2 bytes (8 MB at
    1024 latents, 2 GB at 16 384).
    """

    def __init__(self, n_latents: int) -> None:
        self.n_latents = n_latents
        self.clear()

    def clear(self) -> None:
        self.rows = 0
        self.fired_s = np.zeros(self.n_latents, np.int64)
        self.sum_s = np.zeros(self.n_latents)
        self.product_ss = np.zeros((self.n_latents, self.n_latents))

    def add(self, pattern: Pattern, value: torch.Tensor, n_rows: int) -> None:
        """Take in a batch's codes."""
        row_offsets = pattern.offsets[:: pattern.n_bags // n_rows]
        codes = (part.cpu().numpy() for part in (row_offsets, pattern.latent, value.double()))
        self.rows += n_rows
        _add_codes(*codes, self.fired_s, self.sum_s, self.product_ss)

    def share(self) -> None:
        """Sum over the processes of a data-parallel training."""
        rows = torch.tensor(self.rows)
        for total in (rows, *map(torch.from_numpy, (self.fired_s, self.sum_s, self.product_ss))):
            sum_(total)
        self.rows = int(rows)

    def correlation(self, latents: np.ndarray) -> np.ndarray:
        """Pearson correlation over rows of some latents, in ascending order, float64; each must vary.

        r_ij = (sum z_i z_j / n - m_i m_j) / (sd_i sd_j)
        """
        mean = self.sum_s[latents] / self.rows
        upper = np.triu(self.product_ss[np.ix_(latents, latents)])
        covariance = (upper + np.triu(upper, 1).T) / self.rows - np.outer(mean, mean)
        sd = np.sqrt(np.diag(covariance))
        return np.clip(covariance / np.outer(sd, sd), -1, 1)

    def frequent(self, at_least: int) -> np.ndarray:
        """Latents with so many firings, and as many rows without one; ascending."""
        return np.flatnonzero((self.fired_s >= at_least) & (self.fired_s <= self.rows - at_least))

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        arrays = {"rows": np.array(self.rows), "fired": self.fired_s, "sum": self.sum_s, "product": self.product_ss}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        self.rows = int(tensors["rows"])
        self.fired_s, self.sum_s, self.product_ss = (
            tensors[name].numpy().copy() for name in ("fired", "sum", "product")
        )


@numba.njit(cache=True, nogil=True)
def _add_codes(row_offsets, latent, value, fired_s, sum_s, product_ss):
    """Row by row; ``latent`` ascends inside a row. Unsigned, for numba tests signed indices for a minus."""
    for row in range(len(row_offsets) - 1):
        for k in range(row_offsets[row], row_offsets[row + 1]):
            i, x = latent[k], value[k]
            fired_s[i] += x > 0
            sum_s[i] += x
            products = product_ss[i]
            for m in range(np.uint64(k), np.uint64(row_offsets[row + 1])):
                products[np.uint64(latent[m])] += x * value[m]
