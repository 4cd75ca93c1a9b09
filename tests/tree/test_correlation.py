"""Pair similarities from sparse codes against numpy, by token and by document, whatever the blocks and slabs."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.core.errors import PipelineError
from pipeline.tree import correlation_file as dense_matrix
from pipeline.tree.correlation import Correlation, computing, correlate, has_variance
from pipeline.tree.correlation_file import check_dense, write_dense
from pipeline.tree.kernels import SIMILARITIES, similarities, standardisation
from pipeline.tree.plan import BlockPlan, plan_blocks
from pipeline.tree.units import Source, pooled


def codes_of(dense: np.ndarray, doc_id=None) -> SparseCodes:
    """Sparse codes of a small dense matrix [token, latent]; ten tokens a document."""
    rows, index = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int64)
    docs = np.arange(len(dense)) // 10 if doc_id is None else np.asarray(doc_id)
    first = np.r_[True, docs[1:] != docs[:-1]]
    pos = np.arange(len(dense)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    value = dense[rows, index].astype(np.float32)
    docs = docs.astype(np.int32)
    return SparseCodes(
        indptr, index.astype(np.uint16), value, docs * 0, docs, docs, pos.astype(np.int32), dense.shape[1]
    )


class MemoryStore:
    """A codes store that is already in memory."""

    def __init__(self, codes: SparseCodes):
        self.codes, self.n_tokens, self.n_latents = codes, len(codes.indptr) - 1, codes.n_latents
        self.nnz = len(codes.index)

    def all(self) -> SparseCodes:
        return self.codes

    def rows(self, start: int, stop: int) -> SparseCodes:
        c, (low, high) = self.codes, self.codes.indptr[[start, stop]]
        tokens = (column[start:stop] for column in (c.token_id, c.doc_id, c.seq_id, c.pos))
        indptr = c.indptr[start : stop + 1] - low
        return SparseCodes(indptr, c.index[low:high], c.value[low:high], *tokens, c.n_latents)


@pytest.fixture
def opened(monkeypatch):
    """Make ``CodesStore.open`` give a store of these codes."""

    def use(codes: SparseCodes) -> None:
        monkeypatch.setattr(CodesStore, "open", lambda path: MemoryStore(codes))

    return use


def random_codes(n=600, s=40, seed=0) -> np.ndarray:
    """Lognormal magnitudes at rates from .02 to .4; latents 0-3 are dead, always on, a duplicate pair."""
    rng = np.random.default_rng(seed)
    dense = rng.lognormal(size=(n, s)) * (rng.random((n, s)) < rng.uniform(0.02, 0.4, s))
    dense = dense.astype(np.float32)
    dense[:, 0] = 0
    dense[:, 1] = 100 + rng.normal(size=n)
    dense[:, 3] = dense[:, 2]
    return dense


RESIDENT = BlockPlan(True, 7, 6, 10**6, 0)
SLABS = BlockPlan(False, 9, 5, 150, 0)


def run(scale="token", similarity="pearson", floor=None, plan=RESIDENT, window=None) -> Correlation:
    with computing("threads", 2, 100):
        return correlate(Source(Path("codes"), scale, window), similarity, floor, 0.05, plan)


def as_dense(result: Correlation) -> np.ndarray:
    """The whole matrix [s, s] that a sparse result stands for."""
    a = result.rank_one()
    dense = -np.outer(a, a)
    i, j = result.pairs.i, result.pairs.j
    dense[i, j] = dense[j, i] = result.pairs.r
    return dense


@pytest.mark.parametrize("plan", [RESIDENT, SLABS], ids=["in memory", "by slabs"])
def test_pearson_is_numpys_also_for_pairs_that_never_co_fire(opened, plan):
    dense = random_codes()
    dense[::2, 5] = dense[1::2, 6] = 0  # 5 and 6 never fire together
    opened(codes_of(dense))
    result = run(plan=plan)
    off_diagonal = ~np.eye(40, dtype=bool)
    off_diagonal[0] = off_diagonal[:, 0] = False
    expected = np.corrcoef(dense[:, 1:].astype(np.float64), rowvar=False)
    expected = np.pad(expected, ((1, 0), (1, 0)))
    np.testing.assert_allclose(as_dense(result)[off_diagonal], expected[off_diagonal], atol=1e-6)
    assert not np.any((result.pairs.i == 5) & (result.pairs.j == 6))


def test_dead_always_on_and_duplicate_latents_are_said_and_give_no_nan(opened):
    dense = random_codes()
    dense[:, 4] = 3.0 + 1e-7 * (np.arange(600) % 2)  # always nearly the same value: its variance is rounding
    opened(codes_of(dense))
    for name in SIMILARITIES:
        result = run(similarity=name)
        assert np.isfinite(result.pairs.r).all(), name
        assert np.isfinite(result.rank_one()).all(), name
    result = run()
    assert result.pairs.r[(result.pairs.i == 2) & (result.pairs.j == 3)] == pytest.approx(1)
    assert result.pairs.r[(result.pairs.i == 4) | (result.pairs.j == 4)].tolist().count(0) > 0
    assert np.flatnonzero(~has_variance(result.sums)).tolist() == [0, 4]
    assert "(1 dead, 1 without variance, 2 always on, 1 duplicate pairs)" in result.census(0.05)


@pytest.mark.parametrize("scale", ["token", "document"])
def test_every_plan_gives_the_same_bits(opened, scale):
    opened(codes_of(random_codes(s=53)))
    plans = [RESIDENT, SLABS, BlockPlan(True, 53, 1, 0, 0), BlockPlan(False, 1, 53, 1, 0)]
    first, *others = [run(scale, plan=plan) for plan in plans]
    for other in others:
        for mine, theirs in zip(first.pairs, other.pairs, strict=True):
            assert mine.tobytes() == theirs.tobytes()


def test_documents_are_pooled_as_log_of_one_plus_the_sum(opened):
    dense = random_codes()
    opened(codes_of(dense))
    summed = np.log1p(dense.reshape(60, 10, 40).sum(1, dtype=np.float64)).astype(np.float32)
    expected = np.nan_to_num(np.corrcoef(summed[:, 1:], rowvar=False))
    result = run("document", plan=SLABS)
    assert result.sums.n_units == 60
    pairs = (result.pairs.i, result.pairs.j)
    np.testing.assert_allclose(result.pairs.r, np.pad(expected, ((1, 0), (1, 0)))[pairs], atol=1e-5)


def test_windows_end_with_their_document():
    codes = codes_of(np.eye(7, dtype=np.float32), doc_id=[0, 0, 0, 0, 0, 1, 1])
    units = pooled(codes, window=2)
    assert np.diff(units.indptr).tolist() == [2, 2, 1, 2]
    assert units.document.tolist() == [0, 0, 0, 1]
    assert units.value == pytest.approx(np.log(2))


def test_a_document_longer_than_a_slab_is_not_split(opened):
    opened(codes_of(random_codes(), doc_id=np.r_[np.zeros(500), np.ones(100)]))
    slabs = list(Source(Path("codes"), "document").slabs(max_entries=40))
    assert [units.document.tolist() for units in slabs] == [[0], [1]]


def test_an_empty_store_and_a_single_unit_have_no_pairs_to_speak_of(opened):
    opened(codes_of(np.zeros((0, 5), np.float32)))
    assert len(run().pairs.i) == 0
    opened(codes_of(np.ones((1, 5), np.float32)))
    result = run()
    assert (result.pairs.r == 0).all()
    assert "5 without variance, 5 always on" in result.census(0.05)
    assert "0 significant (too few units for any pair to be)" in result.census(0.05)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_dense_matrix_is_the_pairs_and_rank_one(opened, similarity, threads, tmp_path, monkeypatch):
    """Several blocks (1 MiB holds no more), chunks of 8 rows."""
    monkeypatch.setattr(dense_matrix, "CHUNK_ROWS", 8)
    values = random_codes(s=300)
    opened(codes_of(values))
    result = run(similarity=similarity)
    with computing("threads", threads, 100) as hands:
        plan = write_dense(tmp_path, Source(Path("codes"), "token"), result, 1, hands)
    matrix = zarr.open_array(tmp_path / "token/matrix")
    assert matrix.dtype == np.float32 and matrix.chunks[0] == 8 and int(plan.split()[0]) > 1
    off_diagonal = ~np.eye(300, dtype=bool)
    np.testing.assert_array_equal(matrix[:][off_diagonal], as_dense(result).astype(np.float32)[off_diagonal])
    assert np.isfinite(matrix[:]).all()


def test_a_square_that_is_too_large_is_refused():
    check_dense(16_384)
    with pytest.raises(PipelineError, match="65,536 latents takes 16 GiB"):
        check_dense(65_536)


def test_similarities_by_hand():
    """N = 10, latent i fires in 4 units with value 1, j in 5 with value 2, together in 3."""
    expected = {
        "pearson": (0.6 - 0.4 * 1.0) / (np.sqrt(0.24) * np.sqrt(2 - 1)),
        "phi": (3 - 2) / np.sqrt(4 * 0.6 * 5 * 0.5),
        "cosine": 6 / np.sqrt(4 * 20),
        "jaccard": 3 / 6,
        "containment": 3 / 4,
        "loevinger": (3 - 2) / (4 - 2),
        "loevinger_lower": 0.0,  # 3 - sqrt(4) < 2
    }
    n, s, q = np.array([4, 5]), np.array([4.0, 10.0]), np.array([4.0, 20.0])
    pair = np.array([0]), np.array([1]), np.array([3]), np.array([6.0])
    for name, value in expected.items():
        kind = SIMILARITIES[name]
        found = similarities(kind, 10, n, standardisation(kind, 10, n, s, q), *pair)
        assert found[0] == pytest.approx(value), name


def test_the_floor_drops_weak_pairs_and_nothing_else(opened):
    opened(codes_of(random_codes()))
    everything, above = run(), run(floor=0.05)
    kept = (everything.pairs.r > 0.05) & (everything.pairs.n_ij >= 2)
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(above.pairs.s_ij, everything.pairs.s_ij[kept])


@pytest.mark.parametrize(
    ("nnz", "memory", "threads", "shared", "resident"),
    [
        (50_000_000, 2 << 30, 2, True, True),  # 1M tokens at L0 50: 595 MiB
        (50_000_000, 512 << 20, 2, True, False),  # does not fit: every task reads slabs
        (50_000_000, 2 << 30, 1, False, False),  # processes share nothing
        (5_000_000_000, 8 << 30, 2, True, False),  # 100M tokens
    ],
)
def test_a_plan_never_takes_more_than_it_may(nnz, memory, threads, shared, resident):
    for n_latents in (1024, 16384, 65536):
        plan = plan_blocks(n_latents, nnz // 50, nnz, 2, memory, threads, shared)
        assert plan.resident == resident
        assert plan.bytes_per_process <= memory
        blocks = plan.blocks(n_latents)
        assert len(blocks) == plan.n_blocks
        assert [low for low, _ in blocks] == [0] + [high for _, high in blocks[:-1]]
        assert blocks[-1][1] == n_latents
