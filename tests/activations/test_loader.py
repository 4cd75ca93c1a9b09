"""The loader: every row once an epoch, any position resumed exactly, ranks disjoint, damage never served."""

import itertools

import numpy as np
import pytest
import torch

from pipeline.activations.loader import ActivationLoader
from pipeline.activations.plan import split_windows
from pipeline.activations.store import ActivationStore
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.core.errors import PipelineError

N, D, WINDOW = 1000, 4096, 256  # 8 rows to a chunk; 20 chunks fit 1.3 MiB


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ActivationStore:
    """Row ``i`` holds ``i`` and ``-i`` in its first two dimensions."""
    path = tmp_path_factory.mktemp("loader") / "a.zarr"
    acts_nd = torch.zeros(N, D)
    acts_nd[:, 0], acts_nd[:, 1] = torch.arange(N), -torch.arange(N)
    options = {"dtype": "float16", "window_rows": WINDOW, "chunk_mib": 1, "compression": "none", "attributes": {}}
    create_store(path, N, D, **options)
    writer = WindowWriter(path)
    for window in split_windows(N, WINDOW):
        tokens = {name: np.arange(window.n_rows, dtype=np.int32) for name in ("token_id", "doc_id", "seq_id", "pos")}
        writer.write(window, acts_nd[window.rows].half(), tokens)
    writer.finish(split_windows(N, WINDOW))
    return ActivationStore.open(path)


def loader(store, memory_mib, **options) -> ActivationLoader:
    return ActivationLoader(store, **({"batch_size": 48, "seed": 5, "memory_mib": memory_mib} | options))


def ids(batches) -> list[int]:
    return [int(row) for batch in batches for row in batch[:, 0]]


@pytest.mark.parametrize("memory_mib, resident", [(16, True), (2, False)])
def test_every_row_is_served_once_an_epoch_and_every_batch_is_full(store, memory_mib, resident):
    source = loader(store, memory_mib)
    assert source.resident == resident
    batches = list(itertools.islice(source, 3 * N // 48))
    assert all(batch.shape == (48, D) and batch.dtype == torch.float32 for batch in batches)
    assert all(torch.equal(batch[:, 0], -batch[:, 1]) for batch in batches)
    served = ids(batches)
    first, second = served[:N], served[N : 2 * N]
    assert sorted(first) == sorted(second) == list(range(N))
    assert first != second


@pytest.mark.parametrize("memory_mib", [16, 2])
@pytest.mark.parametrize("at", [0, 1, 7, 20, 21, 45])
def test_a_loader_resumes_at_any_batch(store, memory_mib, at):
    source = loader(store, memory_mib)
    for _ in range(at):
        next(source)
    position = source.position
    expected = ids(itertools.islice(source, 30))
    again = loader(store, memory_mib)
    again.position = position
    assert again.position == position
    assert ids(itertools.islice(again, 30)) == expected


class Thirds:
    """Row i is served i modulo 3 times in even epochs, once in odd ones."""

    def repeats(self, epoch: int, seed: int) -> np.ndarray:
        return (np.arange(N) % 3 if epoch % 2 == 0 else np.ones(N)).astype(np.uint8)


@pytest.mark.parametrize("memory_mib", [16, 2])
def test_rows_are_served_as_often_as_they_are_drawn_and_resumed_alike(store, memory_mib):
    source = loader(store, memory_mib, draws=Thirds(), batch_size=37)
    served = ids(itertools.islice(source, 3 * N // 37))
    first = sum(number % 3 for number in range(N))
    assert np.array_equal(np.bincount(served[:first], minlength=N), np.arange(N) % 3)
    assert sorted(served[first : first + N]) == list(range(N)), "the next epoch follows in the same batch"
    again = loader(store, memory_mib, draws=Thirds(), batch_size=37)
    again.position = {"epoch": 0, "row": 20 * 37}
    assert ids(itertools.islice(again, 20)) == served[20 * 37 : 40 * 37]


def test_resuming_reads_one_group_only(store, monkeypatch):
    source = loader(store, 2)
    source.position = {"epoch": 700, "row": 900}
    read = []
    monkeypatch.setattr(source, "_read", lambda group, buffer: read.append(group) or buffer[: group.n_rows])
    next(source)
    assert len(read) <= 3 and read[0].epoch == 700 and read[0].first_row <= 900 < read[0].first_row + read[0].n_rows


def test_the_order_follows_from_the_seed(store):
    first = ids(itertools.islice(loader(store, 2), 5))
    assert first == ids(itertools.islice(loader(store, 2), 5))
    assert first != ids(itertools.islice(loader(store, 2, seed=6), 5))


def test_ranks_share_an_epoch_without_overlap(store):
    ranks = [loader(store, 2, rank=rank, world_size=3, batch_size=1) for rank in range(3)]
    served = []
    for source in ranks:
        for batch in source:
            if source.position["epoch"] > 0:
                break
            served.append(int(batch[0, 0]))
    assert sorted(served) == list(range(N))


def test_streaming_holds_two_groups_of_the_budget(store):
    source = loader(store, 1)
    assert 2 * source._buffer().nbytes <= 1 << 20
    with pytest.raises(PipelineError, match=r"memory_mib` is 0; two chunks of .* take"):
        loader(store, 0)


def test_more_ranks_than_chunks_are_refused(store):
    with pytest.raises(PipelineError, match="too few for 1000 loaders"):
        loader(store, 2, world_size=1000)


@pytest.mark.parametrize("memory_mib", [16, 2])
def test_a_flipped_bit_is_never_served(store, memory_mib, tmp_path):
    import shutil

    shutil.copytree(store.path, tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr/activations/c/9/0"
    content = bytearray(chunk.read_bytes())
    content[0] ^= 1
    chunk.write_bytes(content)
    source = loader(ActivationStore.open(tmp_path / "a.zarr"), memory_mib)
    with pytest.raises(PipelineError, match=r"c/9/0 \(window 0\) is damaged"):
        list(itertools.islice(source, 21))


def test_rows_of_one_sequence_meet_about_as_rarely_as_by_chance(tmp_path):
    """Sequences of 256 rows, 32 chunks to a window, an eighth of the store in memory: at most 1.5 times chance."""
    n_rows, window_rows, context, batch = 131_072, 16_384, 256, 1024
    options = {"dtype": "float32", "window_rows": window_rows, "chunk_mib": 1, "compression": "none", "attributes": {}}
    create_store(tmp_path / "a.zarr", n_rows, 8, **options)
    writer, rng = WindowWriter(tmp_path / "a.zarr"), np.random.default_rng(0)
    for window in split_windows(n_rows, window_rows):
        sequence = (window.first_row + rng.permutation(window.n_rows)) // context
        acts_nd = torch.from_numpy(sequence).float()[:, None].expand(-1, 8).contiguous()
        zeros = np.zeros(window.n_rows, np.int32)
        writer.write(window, acts_nd, dict.fromkeys(("token_id", "doc_id", "seq_id", "pos"), zeros))
    writer.finish(split_windows(n_rows, window_rows))
    source = loader(ActivationStore.open(tmp_path / "a.zarr"), memory_mib=1, batch_size=batch)
    assert not source.resident
    mates = []
    for acts_bd in itertools.islice(source, n_rows // batch):
        counts = np.bincount(acts_bd[:, 0].long())
        mates.append((counts * (counts - 1)).sum() / batch)
    by_chance = (context - 1) * (batch - 1) / (n_rows - 1)
    assert 0.8 < np.mean(mates) / by_chance < 1.5, np.mean(mates) / by_chance
