"""What is counted: every token by itself, or the latents of a whole document (or window) pooled into one row.

Topics show only when codes are pooled, because two latents of one topic rarely fire on the same token; entities show
at token scale. Pooled values are log(1 + sum of the latent's values in the unit), so that one long burst does not
outweigh many documents.
"""

from typing import NamedTuple

import numba
import numpy as np

from pipeline.activations.codes import SparseCodes


class Units(NamedTuple):
    """Rows in CSR form; indices ascend inside a row. ``document`` tells which rows may not be told apart as
    independent: the bootstrap resamples whole documents."""

    indptr: np.ndarray  # int64 [n_units + 1]
    index: np.ndarray  # unsigned [nnz]
    value: np.ndarray  # float32 [nnz], > 0
    document: np.ndarray  # int32 [n_units]
    n_latents: int

    @property
    def n_units(self) -> int:
        return len(self.indptr) - 1


def tokens(codes: SparseCodes) -> Units:
    """One unit a token."""
    return Units(codes.indptr, codes.index, codes.value, codes.doc_id, codes.n_latents)


def pooled(codes: SparseCodes, window: int | None = None) -> Units:
    """One unit a document, or a stretch of ``window`` tokens of a sequence: log(1 + sum) of each latent's values.

    The rows must be in text order (document, sequence, position), as the store has them.
    """
    if window is None:
        changed = codes.doc_id[1:] != codes.doc_id[:-1]
    else:
        part = codes.pos // window
        changed = (codes.seq_id[1:] != codes.seq_id[:-1]) | (part[1:] != part[:-1])
        changed |= codes.doc_id[1:] != codes.doc_id[:-1]
    first = np.concatenate([[0], np.flatnonzero(changed) + 1])[: len(codes.doc_id)].astype(np.int64)
    bounds = np.append(first, len(codes.doc_id))
    indptr, index, value = _pool(codes.indptr, codes.index, codes.value, bounds, codes.n_latents)
    return Units(indptr, index, value, codes.doc_id[first], codes.n_latents)


@numba.njit(cache=True, nogil=True)
def _pool(indptr, index, value, bounds, n_latents):
    """CSR rows [bounds[u], bounds[u + 1]) summed into unit u; float64 sums, then log1p."""
    total = np.zeros(n_latents)
    touched = np.empty(n_latents, index.dtype)
    out_indptr = np.zeros(len(bounds), np.int64)
    out_index = np.empty(len(index), index.dtype)
    out_value = np.empty(len(index), np.float32)
    size = 0
    for u in range(len(bounds) - 1):
        n_touched = 0
        for k in range(indptr[bounds[u]], indptr[bounds[u + 1]]):
            if total[index[k]] == 0:
                touched[n_touched] = index[k]
                n_touched += 1
            total[index[k]] += value[k]
        touched[:n_touched].sort()
        for m in range(n_touched):
            out_index[size + m] = touched[m]
            out_value[size + m] = np.log1p(total[touched[m]])
            total[touched[m]] = 0
        size += n_touched
        out_indptr[u + 1] = size
    return out_indptr, out_index[:size].copy(), out_value[:size].copy()
