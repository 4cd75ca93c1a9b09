"""The arithmetic of a store, on plain numbers: chunks, windows, the batches that fill a window, the order inside it.

Rows are written in windows. Window ``w`` holds the rows ``w * window_rows`` to ``(w + 1) * window_rows`` of the text
order, permuted. It depends on nothing but the token plan and the seed: any process can compute any window, again and
again, and always gets the same bytes. That is what resuming and sharing the work rest on. The price is that a
sequence across a border is run for both windows, one sequence in 131072 rows.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.activations.tokens import TokenPlan


class Window(NamedTuple):
    """Rows ``first_row`` to ``first_row + n_rows`` of the store, in text order and on disk alike."""

    number: int
    first_row: int
    n_rows: int

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.n_rows)


def split_windows(n_rows: int, window_rows: int) -> list[Window]:
    """Full windows and a last, shorter one.

    >>> split_windows(5, 2)[-1]
    Window(number=2, first_row=4, n_rows=1)
    """
    firsts = range(0, n_rows, window_rows)
    return [Window(w, first, min(window_rows, n_rows - first)) for w, first in enumerate(firsts)]


def choose_chunk_rows(bytes_per_row: int, chunk_mib: int, window_rows: int) -> int:
    """The power of two of rows nearest to ``chunk_mib``, at most a 32nd of a window.

    The loader mixes by drawing chunks; with fewer chunks to a window a batch would hold more rows of one sequence.

    >>> choose_chunk_rows(2 * 2304, 16, 131072)
    4096
    """
    wanted = chunk_mib * 2**20 / bytes_per_row
    return min(max(1, 2 ** round(np.log2(wanted))), max(1, window_rows // 32))


class Batch(NamedTuple):
    """Sequences that the model reads together, right-padded, and where their rows go."""

    token_ids_bt: np.ndarray  # int64; padding is 0, which no stored token can see: attention is causal
    stored_bt: np.ndarray  # bool, which positions have a row in this window
    destination: np.ndarray  # int64, that row's place in the window, in the order of stored_bt's True entries


def window_batches(plan: TokenPlan, window: Window, batch_tokens: int, seed: int) -> Iterator[Batch]:
    """Batches of at most ``batch_tokens`` positions, long sequences first so that little is padding."""
    place = permutation(window, seed)
    for sequences in _group_by_length(plan, window, batch_tokens):
        lengths = plan.start[sequences + 1] - plan.start[sequences]
        token_ids_bt = np.zeros((len(sequences), int(lengths.max())), np.int64)
        stored_bt = np.zeros(token_ids_bt.shape, bool)
        destinations = []
        for i, sequence in enumerate(sequences):
            token_ids = plan.token_id[plan.start[sequence] : plan.start[sequence + 1]]
            token_ids_bt[i, : len(token_ids)] = token_ids
            positions, rows = stored_rows(plan, window, int(sequence))
            stored_bt[i, positions] = True
            destinations.append(place[rows - window.first_row])
        yield Batch(token_ids_bt, stored_bt, np.concatenate(destinations))


def stored_rows(plan: TokenPlan, window: Window, sequence: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of a sequence that have a row in this window, and those rows in text order."""
    token_ids = plan.token_id[plan.start[sequence] : plan.start[sequence + 1]]
    positions = np.flatnonzero(~np.isin(token_ids, plan.skipped))
    rows = plan.first_row[sequence] + np.arange(len(positions))
    inside = (rows >= window.rows.start) & (rows < window.rows.stop)
    return positions[inside], rows[inside]


def token_rows(plan: TokenPlan, window: Window, seed: int) -> dict[str, np.ndarray]:
    """The token arrays of a window, int32, in the order of its rows on disk."""
    place = permutation(window, seed)
    arrays = {name: np.empty(window.n_rows, np.int32) for name in ("token_id", "doc_id", "seq_id", "pos")}
    for sequence in _sequences(plan, window):
        positions, rows = stored_rows(plan, window, int(sequence))
        destination = place[rows - window.first_row]
        flat = plan.start[sequence] + positions
        arrays["token_id"][destination] = plan.token_id[flat]
        arrays["doc_id"][destination] = plan.doc_id[flat]
        arrays["seq_id"][destination] = sequence
        arrays["pos"][destination] = positions
    return arrays


def permutation(window: Window, seed: int) -> np.ndarray:
    """The place on disk, within the window, of each of its rows in text order."""
    return np.random.default_rng([seed, window.number]).permutation(window.n_rows)


def _sequences(plan: TokenPlan, window: Window) -> np.ndarray:
    """The sequences with a row in the window."""
    first = np.searchsorted(plan.first_row, window.rows.start, side="right") - 1
    last = np.searchsorted(plan.first_row, window.rows.stop, side="left")
    return np.arange(first, last)


def _group_by_length(plan: TokenPlan, window: Window, batch_tokens: int) -> Iterator[np.ndarray]:
    sequences = _sequences(plan, window)
    lengths = plan.start[sequences + 1] - plan.start[sequences]
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, batch_tokens // int(lengths[order[start]]))
        yield sequences[order[start : start + count]]
        start += count
