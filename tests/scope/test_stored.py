"""What the stores hold of a text: sums, counts and means, counted again one token at a time."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pipeline.scope.stored
from pipeline.activations.plan import split_windows
from pipeline.codes.store import SparseCodes
from pipeline.scope.stored import Stored

LENGTHS = (5, 1, 7, 4, 6)  # tokens of each line of the training text
LATENTS, WIDTH, WINDOW = 9, 4, 6
DOC = np.repeat(np.arange(len(LENGTHS)), LENGTHS)


@pytest.fixture
def dense(monkeypatch):
    """Codes of every token [n, s], a third of them above zero, read in blocks of four tokens."""
    monkeypatch.setattr(pipeline.scope.stored, "BLOCK_TOKENS", 4)
    rng = np.random.default_rng(0)
    return np.where(rng.random((len(DOC), LATENTS)) < 0.3, rng.random((len(DOC), LATENTS)), 0).astype(np.float32)


@pytest.fixture
def acts() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(len(DOC), WIDTH)).astype(np.float32)


@pytest.fixture
def stored(dense, acts) -> Stored:
    """Stores in memory; the rows of a window of activations are permuted, as on disk."""
    rng, windows = np.random.default_rng(2), split_windows(len(DOC), WINDOW)
    order = np.concatenate([window.first_row + rng.permutation(window.n_rows) for window in windows])

    def rows(start: int, stop: int) -> SparseCodes:
        token, latent = dense[start:stop].nonzero()
        indptr = np.searchsorted(token, np.arange(stop - start + 1))
        nothing = np.zeros(stop - start, np.int32)
        about = (nothing, DOC[start:stop].astype(np.int32), nothing, nothing)
        return SparseCodes(indptr, latent.astype(np.uint16), dense[start:stop][token, latent], *about, LATENTS)

    activations = SimpleNamespace(
        d_model=WIDTH,
        windows=windows,
        tokens=lambda window: {"doc_id": DOC[order][window.rows]},
        rows=lambda start, stop: torch.from_numpy(acts[order][start:stop]),
    )
    codes = SimpleNamespace(n_tokens=len(DOC), n_latents=LATENTS, rows=rows)
    return Stored({f"text {line}": line for line in range(len(LENGTHS))}, codes, activations)


TEXTS = ["text 3", "text 0", "text 3", "text 1"]


def test_it_holds_training_text_only(stored) -> None:
    assert stored.holds(TEXTS) and stored.holds([])
    assert not stored.holds([*TEXTS, "text 9"])


def test_counts_are_those_of_every_token(stored, dense) -> None:
    tokens_x, fires_xs, sums_xs = stored.counts(TEXTS)
    of_text = [dense[int(text[-1]) == DOC] for text in TEXTS]
    assert tokens_x.tolist() == [4, 5, 4, 1]
    assert fires_xs.toarray() == pytest.approx(np.stack([(codes > 0).sum(0) for codes in of_text]))
    assert sums_xs.toarray() == pytest.approx(np.stack([codes.sum(0) for codes in of_text]))


def test_a_reading_has_the_mean_of_the_stream(stored, dense, acts) -> None:
    reading = stored.reading(TEXTS)
    of_text = [int(text[-1]) == DOC for text in TEXTS]
    assert reading.resid_xd == pytest.approx(np.stack([acts[at].mean(0) for at in of_text]), abs=1e-6)
    assert reading.codes_xs.toarray() == pytest.approx(np.log1p([dense[at].sum(0) for at in of_text]), abs=1e-6)
