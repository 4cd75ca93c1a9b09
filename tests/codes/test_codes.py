"""The sparse codes store against scipy: any row range, any latent, bounded sort, damage found."""

import itertools

import numpy as np
import pytest
import scipy.sparse

from pipeline.codes import writer as codes_writer
from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.codes.writer import CodesWriter
from pipeline.core.errors import PipelineError

N, S = 1000, 12


def matrix() -> scipy.sparse.csr_array:
    """Random codes in which latent 3 is dense, latent 5 never active, and some tokens have no latent."""
    rng = np.random.default_rng(0)
    dense = rng.random((N, S), dtype=np.float32) * (rng.random((N, S)) < 0.2)
    dense[:, 3] = rng.random(N) + 0.5
    dense[:, 5] = 0
    dense[10:20] = 0
    return scipy.sparse.csr_array(dense.astype(np.float32))


def block(codes: scipy.sparse.csr_array, start: int, stop: int) -> SparseCodes:
    part, tokens = codes[start:stop], np.arange(start, stop, dtype=np.int32)
    indptr, index = part.indptr.astype(np.int64), part.indices.astype(np.uint16)
    return SparseCodes(indptr, index, part.data, tokens, tokens // 7, tokens // 5, tokens % 5, S)


@pytest.fixture
def store(tmp_path, monkeypatch) -> CodesStore:
    """Written in uneven blocks with chunks and sort ranges so small that each array has many."""
    monkeypatch.setattr(codes_writer, "ROW_CHUNK", 64)
    monkeypatch.setattr(codes_writer, "LATENT_CHUNK", 32)
    monkeypatch.setattr(codes_writer, "SORT_ENTRIES", 500)
    codes, bounds = matrix(), [0, 1, 130, 131, 700, N]
    with CodesWriter(tmp_path / "f.zarr", N, S, {"hook_point": "h"}) as writer:
        for start, stop in itertools.pairwise(bounds):
            writer.append(block(codes, start, stop))
    return CodesStore.open(tmp_path / "f.zarr")


def test_sizes_and_attributes(store):
    assert (store.n_tokens, store.n_latents, store.nnz) == (N, S, matrix().nnz)
    assert store.attributes["hook_point"] == "h"


@pytest.mark.parametrize("start, stop", [(0, N), (0, 1), (12, 18), (63, 65), (500, 500), (N - 1, N)])
def test_any_row_range_equals_scipy(store, start, stop):
    read, expected = store.rows(start, stop), block(matrix(), start, stop)
    for name in SparseCodes._fields:
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name), err_msg=name)
        assert np.asarray(getattr(read, name)).dtype == np.asarray(getattr(expected, name)).dtype, name


@pytest.mark.parametrize("latent", range(S))
def test_the_occurrences_of_a_latent_are_its_column(store, latent):
    column = matrix().toarray()[:, latent]
    rows, values = store.occurrences(latent)
    np.testing.assert_array_equal(rows, np.flatnonzero(column))
    np.testing.assert_array_equal(values, column[rows])
    assert store.latent_counts()[latent] == len(rows)


def test_reading_one_latent_opens_no_chunk_of_another(store, tmp_path):
    """Latent 3 fills whole chunks; with every other chunk of its arrays gone it can still be read."""
    first, last = store.latent_counts()[:3].sum(), store.latent_counts()[:4].sum()
    for name in ("latent_row", "latent_value", "index", "value", "indptr"):
        for chunk in (tmp_path / "f.zarr" / name / "c").iterdir():
            if not (name.startswith("latent") and first // 32 <= int(chunk.name) <= (last - 1) // 32):
                chunk.unlink()
    rows, values = store.occurrences(3)
    np.testing.assert_array_equal(rows, np.setdiff1d(np.arange(N), np.arange(10, 20)))
    assert values.min() >= 0.5


def test_no_active_latent_at_all(tmp_path):
    empty = scipy.sparse.csr_array((4, S), dtype=np.float32)
    with CodesWriter(tmp_path / "f.zarr", 4, S, {}) as writer:
        writer.append(block(empty, 0, 4))
    store = CodesStore.open(tmp_path / "f.zarr")
    assert store.nnz == 0 and len(store.all().token_id) == 4 and len(store.occurrences(2)[0]) == 0


def test_latents_beyond_16_bits_get_a_wider_index(tmp_path):
    codes = block(matrix(), 0, 5)._replace(n_latents=70_000)
    with CodesWriter(tmp_path / "f.zarr", 5, 70_000, {}) as writer:
        writer.append(codes._replace(index=codes.index.astype(np.uint32) + 60_000))
    assert CodesStore.open(tmp_path / "f.zarr").all().index.max() > 60_000


def test_an_unfinished_or_absent_store_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="is missing; run `uv run dvc repro encode_features`"):
        CodesStore.open(tmp_path / "f.zarr")
    with pytest.raises(ZeroDivisionError), CodesWriter(tmp_path / "f.zarr", 1, S, {}):
        raise ZeroDivisionError
    with pytest.raises(PipelineError, match="has another format"):
        CodesStore.open(tmp_path / "f.zarr")


def test_a_flipped_bit_and_a_lost_chunk_are_named(store, tmp_path):
    chunk = tmp_path / "f.zarr/value/c/2"
    content = bytearray(chunk.read_bytes())
    content[17] ^= 4
    chunk.write_bytes(content)
    with pytest.raises(PipelineError, match=r"value is damaged .*dvc repro -f encode_features"):
        store.all()
    chunk.unlink()
    with pytest.raises(PipelineError, match=r"value lacks chunk files"):
        CodesStore.open(tmp_path / "f.zarr")
