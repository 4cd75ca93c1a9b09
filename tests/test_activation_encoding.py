"""Encoding a store: text order out of permuted windows, values equal to a dense encoder, memory of one window."""

import numpy as np
import pytest
import torch

from pipeline.activations.codes import CodesStore
from pipeline.activations.codes_writer import CodesWriter
from pipeline.activations.encoding import encode_store
from pipeline.activations.store import ActivationStore
from pipeline.activations.windows import split_windows
from pipeline.activations.writer import WindowWriter, create_store

N, D, WINDOW = 300, 6, 128


class Positive:
    """A dictionary whose latents are the positive parts of the activation and of its negative."""

    d_sae = 2 * D

    def encode_sparse(self, acts_bd):
        codes = torch.cat([acts_bd, -acts_bd], 1).relu().numpy()
        indptr = np.concatenate([[0], np.cumsum((codes > 0).sum(1))])
        row, latent = codes.nonzero()
        return indptr, latent.astype(np.uint16), codes[row, latent]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[torch.Tensor, CodesStore]:
    """Activations in text order, and the codes of a store that holds them permuted; 9 tokens a sequence."""
    folder = tmp_path_factory.mktemp("encoding")
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
    with CodesWriter(folder / "f.zarr", N, encoder.d_sae, {}) as codes:
        encode_store(store, encoder, codes, batch=50)
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
