"""Encoding a store: text order out of permuted windows, values equal to a dense encoder, resumed after a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.activations.plan import split_windows
from pipeline.activations.store import ActivationStore
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.codes.encoding import encode_store
from pipeline.codes.store import CodesStore

N, D, WINDOW = 300, 6, 128


class Positive:
    """A dictionary whose latents are the positive parts of the activation and of its negative."""

    d_sae = 2 * D

    def encode_sparse(self, acts_bd):
        codes = torch.cat([acts_bd, -acts_bd], 1).relu().numpy()
        indptr = np.concatenate([[0], np.cumsum((codes > 0).sum(1))])
        row, latent = codes.nonzero()
        return indptr, latent.astype(np.uint16), codes[row, latent]


class Killed(Positive):
    """Dies when it has encoded ``after`` rows."""

    def __init__(self, after: int) -> None:
        self.left = after

    def encode_sparse(self, acts_bd):
        self.left -= len(acts_bd)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().encode_sparse(acts_bd)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("encoding")


@pytest.fixture(scope="module")
def pair(place) -> tuple[torch.Tensor, CodesStore]:
    """Activations in text order, and the codes of a store that holds them permuted; 9 tokens a sequence."""
    folder = place
    acts_nd = torch.randn(N, D, generator=torch.Generator().manual_seed(0)).bfloat16()
    options = {"dtype": "bfloat16", "window_rows": WINDOW, "chunk_mib": 1, "compression": "none", "attributes": {}}
    create_store(folder / "a.zarr", N, D, **options)
    writer = WindowWriter(folder / "a.zarr")
    for window in split_windows(N, WINDOW):
        rows = window.first_row + np.random.default_rng(window.number).permutation(window.n_rows)
        tokens = {"token_id": rows, "doc_id": rows // 18, "seq_id": rows // 9, "pos": rows % 9}
        tokens = {name: values.astype(np.int32) for name, values in tokens.items()}
        writer.write(window, acts_nd[torch.from_numpy(rows)], tokens)
    writer.finish(split_windows(N, WINDOW))
    store, encoder = ActivationStore.open(folder / "a.zarr"), Positive()
    (folder / "f.zarr").mkdir()
    encode_store(store, encoder, folder / "f.zarr", {})
    return acts_nd.float(), CodesStore.open(folder / "f.zarr")


def test_the_codes_are_in_text_order(pair):
    codes = pair[1].all()
    assert codes.token_id.tolist() == list(range(N))
    assert (codes.seq_id == np.arange(N) // 9).all() and (codes.doc_id == np.arange(N) // 18).all()


def test_the_codes_equal_a_dense_encoder(pair):
    acts_nd, store = pair
    codes = store.all()
    dense = np.zeros((N, 2 * D), np.float32)
    dense[np.repeat(np.arange(N), np.diff(codes.indptr)), codes.index] = codes.value
    np.testing.assert_array_equal(dense, torch.cat([acts_nd, -acts_nd], 1).relu().numpy())
    rows, values = store.occurrences(7)
    np.testing.assert_array_equal(rows, np.flatnonzero(dense[:, 7]))
    np.testing.assert_array_equal(values, dense[rows, 7])


def test_a_killed_call_goes_on_where_it_stopped_and_ends_with_the_same_bytes(pair, place):
    again = place / "again.zarr"
    again.mkdir()
    store = ActivationStore.open(place / "a.zarr")
    with pytest.raises(KeyboardInterrupt):
        encode_store(store, Killed(after=2 * WINDOW), again, {})
    kept = sorted(path.name for path in again.rglob("*.npz"))
    assert kept == ["0.npz", "1.npz"]
    (again / "indptr").mkdir()  # as if it had been killed later, while the store was put together
    (again / "indptr/zarr.json").write_text("{")
    encode_store(store, Killed(after=N - 2 * WINDOW), again, {})  # no more rows than are left
    expected = {path.relative_to(place / "f.zarr"): path.read_bytes() for path in (place / "f.zarr").rglob("*.*")}
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*.*")} == expected
