"""From text to the sequences that the model reads, kept on disk so that everything after is counted beforehand.

Text is tokenised once. The token files say how many rows a store will have, which sequences fill which window, and
where a killed run or another worker goes on, all without touching the text again; they take 8 bytes per token.
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
