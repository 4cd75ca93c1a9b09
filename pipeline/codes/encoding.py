"""Sparse codes of a whole activation store, window by window, in text order.

A finished window is a file in ``windows/`` of the folder being built, so a killed call loses one window's work; at the
end they are put together, which takes a few seconds for what took the encoder minutes.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from pipeline.activations.plan import Window
from pipeline.activations.store import ActivationStore
from pipeline.codes.store import TOKEN_ARRAYS, SparseCodes
from pipeline.codes.writer import CodesWriter
from pipeline.core.progress import track

_ARRAYS = ("indptr", "index", "value", *TOKEN_ARRAYS)


class SparseEncoder(Protocol):
    """Anything that turns activations [b, d] into ``(indptr, index, value)``, such as a ``Dictionary``."""

    d_sae: int

    def encode_sparse(self, acts_bd: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


def encode_store(
    store: ActivationStore, encoder: SparseEncoder, folder: Path, attributes: Mapping[str, Any], device: str = "cpu"
) -> None:
    """Make ``folder`` the codes store of all rows. One window of activations is in memory at a time.

    What an earlier, killed call with the same store and encoder left in ``folder`` is used.
    """
    windows = folder / "windows"
    windows.mkdir(exist_ok=True)
    parts = {window.number: windows / f"{window.number}.npz" for window in store.windows}
    left = [window for window in store.windows if not parts[window.number].exists()]
    done = len(store.windows) - len(left)
    for window in track(left, "encoding", len(store.windows), "tokens", done, store.windows[0].n_rows):
        _save(parts[window.number], encode_window(store, encoder, window, device))
    for older in folder.iterdir():  # a store that was being put together when an earlier call was killed
        if older != windows:
            shutil.rmtree(older) if older.is_dir() else older.unlink()
    with CodesWriter(folder, store.n_tokens, encoder.d_sae, attributes) as writer:
        for path in parts.values():
            writer.append(_load(path, encoder.d_sae))
    shutil.rmtree(windows)


@torch.inference_mode()
def encode_window(
    store: ActivationStore, encoder: SparseEncoder, window: Window, device: str = "cpu", batch: int = 8192
) -> SparseCodes:
    """The codes of one window.

    A window holds a stretch of the text in permuted order; sorted by sequence and position it is that stretch again.
    """
    tokens = store.tokens(window)
    order = np.lexsort((tokens["pos"], tokens["seq_id"]))
    acts_nd = store.raw_rows(window.rows.start, window.rows.stop)
    indptr, index, value = [np.zeros(1, np.int64)], [], []
    for start in range(0, window.n_rows, batch):
        acts_bd = store.to_float(acts_nd[torch.from_numpy(order[start : start + batch])]).to(device)
        starts, latents, codes = encoder.encode_sparse(acts_bd)
        indptr.append(starts[1:] + indptr[-1][-1])
        index.append(latents)
        value.append(codes)
    columns = [np.concatenate(column) for column in (indptr, index, value)]
    return SparseCodes(*columns, **{name: tokens[name][order] for name in TOKEN_ARRAYS}, n_latents=encoder.d_sae)


def _save(path: Path, codes: SparseCodes) -> None:
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **{name: getattr(codes, name) for name in _ARRAYS})
    partial.replace(path)


def _load(path: Path, n_latents: int) -> SparseCodes:
    with np.load(path) as arrays:
        return SparseCodes(**{name: arrays[name] for name in _ARRAYS}, n_latents=n_latents)
