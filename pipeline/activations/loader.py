"""Endless shuffled batches from an activation store, resumable at any batch without reading what came before.

A store that fits the memory budget is *resident*: read once, then served in a fresh random order each epoch.
Otherwise it is *streamed*: each epoch draws its chunks in random order, reads a group of them, and serves the group's
rows in random order while a thread reads the next group. Rows were permuted within windows when they were written, so
rows of one sequence rarely meet in a batch (benchmarks/ has the measured mixing).

Either way an epoch is a permutation of the rows that follows from (seed, epoch) alone. So the position is two numbers,
every row is served exactly once an epoch (or as often as ``draws`` says), and every batch is full: one that crosses an
epoch's end takes its last rows from the next.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import torch

from pipeline.activations.store import ActivationStore, gather_widened
from pipeline.core.errors import PipelineError


class Draws(Protocol):
    """How often each row of the store is served in an epoch."""

    def repeats(self, epoch: int, seed: int) -> np.ndarray: ...


class Group(NamedTuple):
    """Chunks that are in memory together; ``first_row`` counts the epoch's rows served before them."""

    epoch: int
    number: int
    chunks: np.ndarray
    first_row: int
    n_rows: int


class ActivationLoader:
    """Iterator of float32 tensors [b, d]. With several ranks each serves its own share of every epoch's chunks."""

    def __init__(
        self,
        store: ActivationStore,
        batch_size: int,
        seed: int,
        memory_mib: int,
        rank: int = 0,
        world_size: int = 1,
        device: str = "cpu",
        draws: Draws | None = None,
    ) -> None:
        self.store, self.batch_size, self.seed, self.draws = store, batch_size, seed, draws
        self.rank, self.world_size, self.device = rank, world_size, device
        self._n_chunks = -(-store.n_tokens // store.chunk_rows)
        if self._n_chunks < world_size:
            raise PipelineError(f"{store.path} has {self._n_chunks} chunks, too few for {world_size} loaders")
        row_bytes = store.d_model * store.array.dtype.itemsize
        budget_rows = (memory_mib << 20) // row_bytes
        self.resident = store.n_tokens <= budget_rows and world_size == 1
        self._group_chunks = self._n_chunks if self.resident else budget_rows // (2 * store.chunk_rows)
        if self._group_chunks < 1:
            need = 2 * store.chunk_rows * row_bytes / 2**20
            raise PipelineError(
                f"`machine.loader_memory_mib` is {memory_mib}; two chunks of {store.path} take {need:.0f}"
            )
        self._epoch = self._row = 0
        self._drawn: tuple[int, np.ndarray | None] = -1, None  # an epoch with its draws
        self._served: Iterator[torch.Tensor] | None = None

    @property
    def position(self) -> dict[str, int]:
        """How far the loader has come: the epoch and how many of its rows were served. Settable."""
        return {"epoch": self._epoch, "row": self._row}

    @position.setter
    def position(self, position: dict[str, int]) -> None:
        self._epoch, self._row = position["epoch"], position["row"]
        self._served = None

    def __iter__(self) -> "ActivationLoader":
        return self

    def __next__(self) -> torch.Tensor:
        """The next [b, d] batch."""
        if self._served is None:
            self._served = self._stream(self._epoch, self._row)
        return next(self._served)

    def _stream(self, epoch: int, row: int) -> Iterator[torch.Tensor]:
        """Batches from a position on; they may span groups and epochs."""
        filled, batch_bd = 0, self._empty_batch()
        for group, rows_nd in self._read_ahead(self._groups(epoch, row)):
            order = self._order(group)
            start = max(0, row - group.first_row) if group.epoch == epoch else 0
            while start < group.n_rows:
                taken = order[start : start + self.batch_size - filled]
                self._gather(rows_nd, taken, batch_bd[filled : filled + len(taken)])
                start, filled = start + len(taken), filled + len(taken)
                if filled == self.batch_size:
                    self._epoch, self._row = group.epoch, group.first_row + start
                    yield batch_bd if self._widens else self.store.to_float(batch_bd.to(self.device))
                    filled, batch_bd = 0, self._empty_batch() if self._widens else batch_bd

    @property
    def _widens(self) -> bool:
        """Rows are picked and made float32 in one pass; for a GPU they travel as stored, which is half as much."""
        return self.store.dtype == "bfloat16" and self.device == "cpu"

    def _empty_batch(self) -> torch.Tensor:
        shape = self.batch_size, self.store.d_model
        if self._widens:
            return torch.empty(shape)
        return torch.empty(shape, dtype=self.store.raw_dtype, device=self.device if self.resident else "cpu")

    def _gather(self, rows_nd: torch.Tensor, taken: np.ndarray, out_bd: torch.Tensor) -> None:
        if self._widens:
            gather_widened(rows_nd.numpy().view(np.uint16), taken, out_bd.numpy().view(np.uint32))
        else:
            torch.index_select(rows_nd, 0, torch.from_numpy(taken).to(rows_nd.device), out=out_bd)

    def _groups(self, epoch: int, row: int) -> Iterator[Group]:
        """The groups from the one that holds ``row`` of ``epoch`` on, without end."""
        while True:
            chunks = np.arange(self._n_chunks)
            if not self.resident:
                chunks = self._rng(epoch, 0).permutation(self._n_chunks)[self.rank :: self.world_size]
            first_row = 0
            for number, start in enumerate(range(0, len(chunks), self._group_chunks)):
                some = chunks[start : start + self._group_chunks]
                n_rows = self._n_served(epoch, some)
                if row < first_row + n_rows:
                    yield Group(epoch, number, some, first_row, n_rows)
                first_row += n_rows
            epoch, row = epoch + 1, 0

    def _order(self, group: Group) -> np.ndarray:
        """The group's rows in the order in which they are served, each as often as it is drawn."""
        order = self._rng(group.epoch, 1 + group.number).permutation(group.n_rows)
        if self.draws is None:
            return order
        repeats = np.concatenate([self._repeats(group.epoch)[self._rows_of(chunk)] for chunk in group.chunks])
        return np.repeat(np.arange(len(repeats)), repeats)[order]

    def _n_served(self, epoch: int, chunks: np.ndarray) -> int:
        if self.draws is None:
            return int(self._chunk_sizes(chunks).sum())
        return sum(int(self._repeats(epoch)[self._rows_of(chunk)].sum()) for chunk in chunks)

    def _repeats(self, epoch: int) -> np.ndarray:
        if self._drawn[0] != epoch:
            self._drawn = epoch, self.draws.repeats(epoch, self.seed)
        return self._drawn[1]

    def _rows_of(self, chunk: int) -> slice:
        return slice(int(chunk) * self.store.chunk_rows, (int(chunk) + 1) * self.store.chunk_rows)

    def _read_ahead(self, groups: Iterator[Group]) -> Iterator[tuple[Group, torch.Tensor]]:
        """Each group with its rows; two buffers, one being served, one being filled by a thread."""
        if self.resident:
            first = next(groups)
            rows_nd = self._read(first, self._buffer()).to(self.device)
            for group in chain([first], groups):
                yield group, rows_nd
        with ThreadPoolExecutor(max_workers=1) as thread:
            buffers = [self._buffer(), self._buffer()]
            group = next(groups)
            reading = thread.submit(self._read, group, buffers[0])
            while True:
                rows_nd = reading.result()
                buffers.reverse()
                following = next(groups)
                reading = thread.submit(self._read, following, buffers[0])
                yield group, rows_nd
                group = following

    def _buffer(self) -> torch.Tensor:
        n_rows = min(self._group_chunks * self.store.chunk_rows, self.store.n_tokens)
        return torch.empty(n_rows, self.store.d_model, dtype=self.store.raw_dtype)

    def _read(self, group: Group, buffer_nd: torch.Tensor) -> torch.Tensor:
        start = 0
        for chunk, size in zip(group.chunks, self._chunk_sizes(group.chunks), strict=True):
            self.store.read_chunk(int(chunk), buffer_nd[start : start + size])
            start += size
        return buffer_nd[:start]

    def _chunk_sizes(self, chunks: np.ndarray) -> np.ndarray:
        """Rows of each chunk; only the last chunk of the store can be short."""
        return np.minimum(self.store.chunk_rows, self.store.n_tokens - chunks * self.store.chunk_rows)

    def _rng(self, epoch: int, draw: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, self.rank if draw else 0, draw])
