"""Where the units come from: a codes store read whole or slab by slab, by token or by document."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pipeline.activations.codes import CodesStore, SparseCodes
from pipeline.hierarchy.kernels import latent_sums
from pipeline.hierarchy.units import Units, pooled, tokens

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
