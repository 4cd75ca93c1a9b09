"""What is counted: every token by itself, or the latents of a whole document (or window) pooled into one row.

Topics show only when codes are pooled, because two latents of one topic rarely fire on the same token; entities show
at token scale. Pooled values are log(1 + sum of the latent's values in the unit), so that one long burst does not
outweigh many documents.

Units come from a codes store, whole or slab by slab.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numba
import numpy as np

from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.tree.kernels import latent_sums


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


Scale = Literal["token", "document"]


class Source(NamedTuple):
    """Small enough to send to a worker, which opens the store itself. ``window``: tokens pooled, None = documents."""

    path: Path
    scale: Scale
    window: int | None = None

    def units(self, codes: SparseCodes) -> Units:
        return tokens(codes) if self.scale == "token" else pooled(codes, self.window)

    def everything(self) -> Units:
        """All units at once."""
        return self.units(CodesStore.open(self.path).all())

    def slabs(self, max_entries: int) -> Iterator[Units]:
        """Units of successive stretches of about ``max_entries`` nonzeros; no document is split."""
        store = CodesStore.open(self.path)
        step = max(1, max_entries * store.n_tokens // max(1, store.nnz))
        start = 0
        while start < store.n_tokens:
            stop = min(start + step, store.n_tokens)
            codes = store.rows(start, stop)
            while stop < store.n_tokens and codes.doc_id[0] == codes.doc_id[-1]:
                stop = min(stop + step, store.n_tokens)  # one document fills the slab: read on to its end
                codes = store.rows(start, stop)
            if stop < store.n_tokens:
                stop = start + int(np.flatnonzero(codes.doc_id != codes.doc_id[-1])[-1]) + 1
                codes = first_rows(codes, stop - start)
            yield self.units(codes)
            start = stop


def first_rows(codes: SparseCodes, count: int) -> SparseCodes:
    """The first ``count`` rows of a block."""
    end = int(codes.indptr[count])
    return SparseCodes(
        codes.indptr[: count + 1],
        codes.index[:end],
        codes.value[:end],
        codes.token_id[:count],
        codes.doc_id[:count],
        codes.seq_id[:count],
        codes.pos[:count],
        codes.n_latents,
    )


class Sums(NamedTuple):
    """Per latent: firings ``n`` int64, ``s`` sum and ``q`` sum of squares float64, all [s]; over ``n_units``."""

    n_units: int
    n: np.ndarray
    s: np.ndarray
    q: np.ndarray


def sums_of(slabs: Iterator[Units], n_latents: int) -> Sums:
    """The per-latent sums over all slabs, in their order."""
    n_units, n, s, q = 0, np.zeros(n_latents, np.int64), np.zeros(n_latents), np.zeros(n_latents)
    for units in slabs:
        more = latent_sums(units.index, units.value, n_latents)
        n_units, n, s, q = n_units + units.n_units, n + more[0], s + more[1], q + more[2]
    return Sums(n_units, n, s, q)
