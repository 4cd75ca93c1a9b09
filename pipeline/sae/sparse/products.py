"""Products with a few active latents per row, without the dense [b, s] matrix of codes.

With codes z (values on a ``Pattern``), weights W [s, d] and rows X [b, d] a training step needs three products:

    row_sums       out[r] = sum over j in row r of    value_j W[latent_j]     decode
    inner          out[j] = <X[row_j], W[latent_j]>                           gradient of a code
    latent_sums    out[f] = sum over j with latent f  value_j X[row_j]        gradient of a weight row

On a CPU numba kernels walk the active latents, four rows at a time and a block of columns that stays in the inner
caches: at d = 2304 two to three times as fast, on one thread, as torch's embedding bags and sampled product, which walk
memory one row at a time; at d = 256 about equal. On a GPU the sums are embedding bags, the inner products a sampled
matrix product; where a pattern is dense all are plain matrix products. All ways give the same numbers up to the order
of summation.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import torch
from scipy.sparse import csr_array

BLOCK = 512  # columns: the four rows and the sum are 10 KB of float32


def weighted_sums(
    weight_nd: torch.Tensor, index: torch.Tensor, offsets: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """[bags, d]: for each bag the sum of ``value[j] * weight[index[j]]`` over j in [offsets[bag], offsets[bag + 1])."""
    sums = weight_nd.new_zeros(len(offsets) - 1, weight_nd.shape[1])
    _share(_add_rows, offsets, index, weight_nd, value, sums)
    return sums


def inner_products(
    weight_nd: torch.Tensor, index: torch.Tensor, offsets: torch.Tensor, rows_bd: torch.Tensor
) -> torch.Tensor:
    """[nnz]: for each j of a bag ``<rows[bag], weight[index[j]]>``."""
    products = weight_nd.new_empty(len(index))
    _share(_multiply_rows, offsets, index, weight_nd, rows_bd, products)
    return products


def _share(kernel: Callable[..., None], offsets: torch.Tensor, *tensors: torch.Tensor) -> None:
    """Every thread of torch takes bags of about as many entries; no sum depends on who computes it."""
    starts, *arrays = (tensor.detach().numpy() for tensor in (offsets, *tensors))
    threads, n_bags = torch.get_num_threads(), len(starts) - 1
    if threads == 1:
        kernel(0, n_bags, starts, *arrays)
        return
    bounds = np.searchsorted(starts, np.linspace(0, starts[-1], threads + 1))
    bounds[-1] = n_bags
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda low, high: kernel(low, high, starts, *arrays), bounds[:-1], bounds[1:]))


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _add_rows(low, high, offsets, index, weight_nd, value, sums):
    width = weight_nd.shape[1]
    for start in range(0, width, BLOCK):
        end = min(start + BLOCK, width)
        for bag in range(low, high):
            total = sums[bag, start:end]
            j = offsets[bag]
            while j + 4 <= offsets[bag + 1]:
                a, b = weight_nd[index[j], start:end], weight_nd[index[j + 1], start:end]
                c, d = weight_nd[index[j + 2], start:end], weight_nd[index[j + 3], start:end]
                p, q, r, s = value[j], value[j + 1], value[j + 2], value[j + 3]
                for i in range(end - start):
                    total[i] += p * a[i] + q * b[i] + r * c[i] + s * d[i]
                j += 4
            while j < offsets[bag + 1]:
                a, p = weight_nd[index[j], start:end], value[j]
                for i in range(end - start):
                    total[i] += p * a[i]
                j += 1


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _multiply_rows(low, high, offsets, index, weight_nd, rows_bd, products):
    for bag in range(low, high):
        x = rows_bd[bag]
        j = offsets[bag]
        while j + 4 <= offsets[bag + 1]:
            a, b, c, d = weight_nd[index[j]], weight_nd[index[j + 1]], weight_nd[index[j + 2]], weight_nd[index[j + 3]]
            p = q = r = s = x.dtype.type(0)
            for i in range(len(x)):
                p += x[i] * a[i]
                q += x[i] * b[i]
                r += x[i] * c[i]
                s += x[i] * d[i]
            products[j], products[j + 1], products[j + 2], products[j + 3] = p, q, r, s
            j += 4
        while j < offsets[bag + 1]:
            a, p = weight_nd[index[j]], x.dtype.type(0)
            for i in range(len(x)):
                p += x[i] * a[i]
            products[j] = p
            j += 1


# Above this share of active latents dense products take less time than sparse ones: measured by
# benchmarks/sae_density.py at 0.18 to 0.25 for d = 128 to 2304, one thread.
DENSE_ABOVE = 0.2


class Pattern(NamedTuple):
    """Positions of the active latents of a batch, row by row and inside a row by latent.

    A nested dictionary (Matryoshka) reads each row in several bags, one per group of latents between two prefixes;
    otherwise a bag is a row.
    """

    n_latents: int
    offsets: torch.Tensor  # int64 [bags + 1], where each bag starts
    latent: torch.Tensor  # int64 [nnz]
    bag: torch.Tensor  # int64 [nnz]
    row: torch.Tensor  # int64 [nnz]
    by_latent: torch.Tensor  # int64 [nnz], the permutation that sorts by latent, then row
    latent_offsets: torch.Tensor  # int64 [s + 1], where each latent starts in that order

    @property
    def n_bags(self) -> int:
        return len(self.offsets) - 1

    @property
    def is_dense(self) -> bool:
        return len(self.latent) > DENSE_ABOVE * self.n_bags * self.n_latents


def find_pattern(flat: torch.Tensor, n_rows: int, n_latents: int, prefixes: tuple[int, ...]) -> Pattern:
    """The pattern of ascending flat positions ``row * n_latents + latent``; ``prefixes`` ends with n_latents."""
    row = torch.div(flat, n_latents, rounding_mode="floor")
    latent = flat - row * n_latents
    bag = row
    if len(prefixes) > 1:
        ends = torch.tensor(prefixes, device=flat.device)
        bag = row * len(prefixes) + torch.searchsorted(ends, latent, right=True)
    offsets = _starts(bag, n_rows * len(prefixes))
    by_latent, latent_offsets = _transpose(offsets, latent, n_latents)
    return Pattern(n_latents, offsets, latent, bag, row, by_latent, latent_offsets)


def _starts(sorted_keys: torch.Tensor, n_keys: int) -> torch.Tensor:
    starts = torch.zeros(n_keys + 1, dtype=torch.int64, device=sorted_keys.device)
    torch.cumsum(torch.bincount(sorted_keys, minlength=n_keys), 0, out=starts[1:])
    return starts


def _transpose(offsets: torch.Tensor, latent: torch.Tensor, n_latents: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Order by latent; scipy's counting transpose is ten times as fast as a stable sort on a CPU."""
    if latent.is_cuda:
        by_latent = torch.sort(latent, stable=True).indices
        return by_latent, _starts(latent[by_latent], n_latents)
    numbered = csr_array(
        (np.arange(len(latent)), latent.numpy(), offsets.numpy()), shape=(len(offsets) - 1, n_latents)
    ).tocsc()
    return torch.from_numpy(numbered.data), torch.from_numpy(numbered.indptr.astype(np.int64))


def row_sums(pattern: Pattern, value: torch.Tensor, weight_sd: torch.Tensor) -> torch.Tensor:
    """[bags, d]: the weighted sum of each bag's weight rows."""
    if pattern.is_dense:
        return _dense(pattern, value) @ weight_sd
    return _bags(weight_sd, pattern.latent, pattern.offsets, value)


def inner(pattern: Pattern, rows_bd: torch.Tensor, weight_sd: torch.Tensor) -> torch.Tensor:
    """[nnz]: the inner product of each active latent's weight row with its bag's row of ``rows_bd``."""
    if pattern.is_dense:
        return (rows_bd @ weight_sd.T)[pattern.bag, pattern.latent]
    products = sampled_product if rows_bd.is_cuda else inner_products
    return products(weight_sd, pattern.latent, pattern.offsets, rows_bd)


def latent_sums(pattern: Pattern, value: torch.Tensor, rows_bd: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """[s, d]: for each latent the weighted sum of ``rows_bd[row_j]``; ``row`` is ``pattern.row`` or ``.bag``."""
    if pattern.is_dense and row is pattern.bag:
        return _dense(pattern, value).T @ rows_bd
    order = pattern.by_latent
    return _bags(rows_bd, row[order], pattern.latent_offsets, value[order])


def _bags(weight: torch.Tensor, index: torch.Tensor, offsets: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    sums = embedding_bags if weight.is_cuda else weighted_sums
    return sums(weight, index, offsets, value)


def embedding_bags(
    weight_nd: torch.Tensor, index: torch.Tensor, offsets: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """``bags.weighted_sums`` by torch, for a GPU."""
    return torch.ops.aten._embedding_bag_forward_only(
        weight_nd, index, offsets, False, 0, False, value, include_last_offset=True
    )[0]


def sampled_product(
    weight_nd: torch.Tensor, index: torch.Tensor, offsets: torch.Tensor, rows_bd: torch.Tensor
) -> torch.Tensor:
    """``bags.inner_products`` by torch, for a GPU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        zeros = torch.zeros_like(index, dtype=rows_bd.dtype)
        shape = len(rows_bd), len(weight_nd)
        places = torch.sparse_csr_tensor(offsets, index, zeros, shape, check_invariants=False)
        return torch.sparse.sampled_addmm(places, rows_bd, weight_nd.T, beta=0.0).values()


def _dense(pattern: Pattern, value: torch.Tensor) -> torch.Tensor:
    codes = value.new_zeros(pattern.n_bags, pattern.n_latents)
    return codes.index_put_((pattern.bag, pattern.latent), value)
