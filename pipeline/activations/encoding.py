"""Sparse codes of a whole activation store, window by window, in text order."""

from typing import Protocol

import numpy as np
import torch

from pipeline.activations.codes import TOKEN_ARRAYS, SparseCodes
from pipeline.activations.codes_writer import CodesWriter
from pipeline.activations.store import ActivationStore
from pipeline.progress import track


class SparseEncoder(Protocol):
    """Anything that turns activations [b, d] into ``(indptr, index, value)``, such as a ``Dictionary``."""

    d_sae: int

    def encode_sparse(self, acts_bd: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


def encode_store(
    store: ActivationStore, encoder: SparseEncoder, writer: CodesWriter, device: str = "cpu", batch: int = 8192
) -> None:
    """Append the codes of every row to ``writer``. One window of activations is in memory at a time.

    A window holds a stretch of the text in permuted order; sorted by sequence and position it is that stretch again.
    """
    for window in track(store.windows, "encoding", len(store.windows), "tokens", scale=store.windows[0].n_rows):
        tokens = store.tokens(window)
        order = np.lexsort((tokens["pos"], tokens["seq_id"]))
        acts_nd = store.raw_rows(window.rows.start, window.rows.stop)
        for start in range(0, window.n_rows, batch):
            some = order[start : start + batch]
            acts_bd = store.to_float(acts_nd[torch.from_numpy(some)]).to(device)
            writer.append(_codes(encoder, acts_bd, {name: tokens[name][some] for name in TOKEN_ARRAYS}))


@torch.inference_mode()
def _codes(encoder: SparseEncoder, acts_bd: torch.Tensor, tokens: dict[str, np.ndarray]) -> SparseCodes:
    return SparseCodes(*encoder.encode_sparse(acts_bd), **tokens, n_latents=encoder.d_sae)
