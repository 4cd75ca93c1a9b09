"""The plan of a store: the sequences that the model reads, and the windows in which their rows are written.

Text is tokenised once. The token files say how many rows a store will have, which sequences fill which window, and
where a killed run or another worker goes on, all without touching the text again; they take 8 bytes per token.

Rows are written in windows. Window ``w`` holds the rows ``w * window_rows`` to ``(w + 1) * window_rows`` of the text
order, permuted. It depends on nothing but the token plan and the seed: any process can compute any window, again and
again, and always gets the same bytes. That is what resuming and sharing the work rest on. The price is that a
sequence across a border is run for both windows, one sequence in 131072 rows.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json

if TYPE_CHECKING:  # transformers takes seconds, and whoever reads a store comes by here
    from transformers import PreTrainedTokenizerBase

Item = TypeVar("Item")


class Sequence(NamedTuple):
    """One input of the model and the document that each of its tokens comes from."""

    token_ids: list[int]
    doc_ids: list[int]


class TokenPlan(NamedTuple):
    """All sequences, flat. Sequence ``i`` has the tokens ``start[i]:start[i + 1]`` and, counting only tokens that
    are stored, the rows ``first_row[i]:first_row[i + 1]`` of the store in text order."""

    token_id: np.ndarray  # int32 [tokens], memory-mapped
    doc_id: np.ndarray  # int32 [tokens], memory-mapped
    start: np.ndarray  # int64 [sequences + 1]
    first_row: np.ndarray  # int64 [sequences + 1]
    skipped: tuple[int, ...]  # token ids that are read by the model but not stored

    @property
    def n_rows(self) -> int:
        return int(self.first_row[-1])


def plan_tokens(
    texts: Iterable[str],
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    *,
    packing: str,
    context_length: int,
    keep_special: bool,
    max_rows: int | None,
) -> TokenPlan:
    """Tokenise ``texts`` into ``folder``, or take what an earlier, finished call left there.

    ``packing`` is ``document`` (a sequence never holds two documents) or ``packed`` (documents follow each other,
    joined by the end-of-sequence token where there is one). A sequence begins with BOS if the tokenizer puts it in
    front of a text by itself. Without ``keep_special`` BOS, EOS and padding get no row: their huge norms would
    dominate every mean and correlation. ``max_rows`` cuts the text after so many stored tokens.
    """
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    skipped = () if keep_special else tuple(sorted({token for token in special if token is not None}))
    if not (folder / "done.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        sequences = _sequences(texts, tokenizer, packing, context_length)
        counts = _write(_limited(sequences, skipped, max_rows), skipped, folder)
        write_json(folder / "done.json", {**counts, "skipped": skipped})
    if read_json(folder / "done.json")["rows"] == 0:
        raise PipelineError("the training text has no token that could be stored; check data/corpus/train.jsonl")
    return read_plan(folder)


def read_plan(folder: Path) -> TokenPlan:
    """The plan that ``plan_tokens`` left in ``folder``."""
    files = [np.memmap(folder / f"{name}.i32", np.int32, mode="r") for name in ("token_id", "doc_id")]
    skipped = tuple(read_json(folder / "done.json")["skipped"])
    return TokenPlan(*files, np.load(folder / "start.npy"), np.load(folder / "first_row.npy"), skipped)


def split_documents(documents: Iterable[list[int]], context_length: int, prefix: list[int]) -> Iterator[Sequence]:
    """Each document alone, in pieces of at most ``context_length`` tokens, ``prefix`` in front of each.

    >>> [s.token_ids for s in split_documents([[5, 6, 7], [8]], 3, [2])]
    [[2, 5, 6], [2, 7], [2, 8]]
    """
    room = context_length - len(prefix)
    for doc_id, tokens in enumerate(documents):
        for start in range(0, len(tokens), room):
            piece = prefix + tokens[start : start + room]
            yield Sequence(piece, [doc_id] * len(piece))


def pack_documents(
    documents: Iterable[list[int]], context_length: int, prefix: list[int], separator: list[int]
) -> Iterator[Sequence]:
    """All documents as one stream, cut every ``context_length`` tokens; ``separator`` ends each document.

    >>> [s.token_ids for s in pack_documents([[5, 6, 7], [8]], 4, [2], [1])]
    [[2, 5, 6, 7], [2, 1, 8, 1]]
    """
    ended = ([(token, doc) for token in tokens + separator] for doc, tokens in enumerate(documents))
    for piece in _batched(chain.from_iterable(ended), context_length - len(prefix)):
        token_ids, doc_ids = zip(*piece, strict=True)
        yield Sequence([*prefix, *token_ids], [doc_ids[0]] * len(prefix) + list(doc_ids))


def _sequences(
    texts: Iterable[str], tokenizer: "PreTrainedTokenizerBase", packing: str, context_length: int
) -> Iterator[Sequence]:
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    prefix = [bos] if bos is not None and bos in tokenizer("a").input_ids[:1] else []
    documents = _tokenize(texts, tokenizer)
    if packing == "document":
        return split_documents(documents, context_length, prefix)
    return pack_documents(documents, context_length, prefix, [] if eos is None else [eos])


def _tokenize(texts: Iterable[str], tokenizer: "PreTrainedTokenizerBase") -> Iterator[list[int]]:
    for some in _batched(texts, 1000):
        # verbose: a document longer than the model's context is cut here, which is no reason for a warning
        yield from tokenizer(some, add_special_tokens=False, verbose=False).input_ids


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items, the last one shorter (``itertools.batched`` of Python 3.12)."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def _limited(sequences: Iterator[Sequence], skipped: tuple[int, ...], max_rows: int | None) -> Iterator[Sequence]:
    """The sequences up to the ``max_rows``-th stored token."""
    left = max_rows
    for sequence in sequences:
        if left is None:
            yield sequence
            continue
        stored = np.flatnonzero(~np.isin(sequence.token_ids, skipped))
        if len(stored) >= left:
            end = int(stored[left - 1]) + 1
            yield Sequence(sequence.token_ids[:end], sequence.doc_ids[:end])
            return
        left -= len(stored)
        yield sequence


def _write(sequences: Iterator[Sequence], skipped: tuple[int, ...], folder: Path) -> dict[str, int]:
    start, first_row = [0], [0]
    with (folder / "token_id.i32").open("wb") as token_file, (folder / "doc_id.i32").open("wb") as doc_file:
        for sequence in sequences:
            token_ids = np.array(sequence.token_ids, np.int32)
            token_file.write(token_ids.tobytes())
            doc_file.write(np.array(sequence.doc_ids, np.int32).tobytes())
            start.append(start[-1] + len(token_ids))
            first_row.append(first_row[-1] + len(token_ids) - int(np.isin(token_ids, skipped).sum()))
    np.save(folder / "start.npy", np.array(start, np.int64))
    np.save(folder / "first_row.npy", np.array(first_row, np.int64))
    return {"sequences": len(start) - 1, "tokens": start[-1], "rows": first_row[-1]}


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
    for sequence in _batches_of_sequences(plan, window):
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


def _batches_of_sequences(plan: TokenPlan, window: Window) -> np.ndarray:
    """The sequences with a row in the window."""
    first = np.searchsorted(plan.first_row, window.rows.start, side="right") - 1
    last = np.searchsorted(plan.first_row, window.rows.stop, side="left")
    return np.arange(first, last)


def _group_by_length(plan: TokenPlan, window: Window, batch_tokens: int) -> Iterator[np.ndarray]:
    sequences = _batches_of_sequences(plan, window)
    lengths = plan.start[sequences + 1] - plan.start[sequences]
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, batch_tokens // int(lengths[order[start]]))
        yield sequences[order[start : start + count]]
        start += count
