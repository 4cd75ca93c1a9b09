"""Rows become documents, long ones cut into passages, and every document falls into train, dev or test.

A row, and whatever says the same, is in one split wherever it is used.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol

from pipeline.corpus.cells import Row, at_row, fill, place
from pipeline.corpus.settings import TextSource

Split = Literal["train", "dev", "test"]

# Test gets as much as train: with the 20 questions of a TOFU author that is 8 to unlearn from, 4 to choose by and 8 to
# report.
TRAIN, DEV = 0.4, 0.2


class Item(Protocol):
    """A document or a question."""

    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def same(self) -> tuple[str, ...]: ...


def row_key(row: Mapping[str, Any]) -> str:
    """What identifies a row: its content without regard to case and white space.

    The same question read as a text and as a probe, or twice from one file, thus has one key.
    """
    text = json.dumps(row, sort_keys=True, default=str, ensure_ascii=False)
    return _hash(" ".join(text.casefold().split()))


@lru_cache(maxsize=16)  # the passages of one text ask one after another
def text_key(text: str) -> str:
    """What identifies a text or a prompt, without regard to case, white space and how its accents are encoded."""
    return _hash(" ".join(unicodedata.normalize("NFKC", text).casefold().split()))


def _hash(text: str) -> str:
    """Of text with half a surrogate pair too: a column that is not read may hold one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def split_rows(items: Iterable[Item], seed: int) -> dict[str, Split]:
    """Row key -> split. Rows that share a text or a prompt, if only through a third, fall into one split.

    Otherwise a row that occurs again under another id would be learnt from and reported on.
    """
    items = list(items)
    group = join((item.key, *item.same) for item in items)
    splits = assign_splits(((item.path, group[item.key]) for item in items), seed)
    return {item.key: splits[group[item.key]] for item in items}


def join(sets: Iterable[Iterable[str]]) -> dict[str, str]:
    """Key -> the first met key of those that it hangs together with; the keys of one set do.

    >>> join([("a", "x"), ("b", "y"), ("c", "y", "x")])
    {'a': 'a', 'x': 'a', 'b': 'a', 'y': 'a', 'c': 'a'}
    """
    above: dict[str, str] = {}
    rank: dict[str, int] = {}

    def top(key: str) -> str:
        while (higher := above[key]) != key:
            above[key] = above[higher]  # halves the way for the next search
            key = higher
        return key

    for keys in sets:
        for key in (keys := tuple(keys)):
            rank.setdefault(key, len(rank))
            above.setdefault(key, key)
        tops = {top(key) for key in keys}
        first = min(tops, key=rank.__getitem__)
        above.update(dict.fromkeys(tops, first))
    return {key: top(key) for key in above}


def assign_splits(keys: Iterable[tuple[tuple[str, ...], str]], seed: int) -> dict[str, Split]:
    """Key -> split, from all (path, key) pairs of a corpus.

    Each node is divided on its own, in the order of a seeded hash: exact shares even where a node has few rows, which
    drawing each row by itself would not give. A key met under two paths keeps the first.
    """
    first: dict[str, tuple[str, ...]] = {}
    for path, key in keys:
        first.setdefault(key, path)
    nodes: dict[tuple[str, ...], list[str]] = {}
    for key, path in first.items():
        nodes.setdefault(path, []).append(key)
    splits: dict[str, Split] = {}
    for members in nodes.values():
        members.sort(key=lambda key: hashlib.sha256(f"{seed}|{key}".encode()).digest())
        for rank, key in enumerate(members):
            splits[key] = _split_at((rank + 0.5) / len(members))
    return splits


def _split_at(share: float) -> Split:
    if share < TRAIN:
        return "train"
    return "dev" if share < TRAIN + DEV else "test"


class Document(NamedTuple):
    """A text, its place in the tree (empty: general), what sort it is.

    ``key`` identifies the row that it came from, ``whole`` is the text of that row, of which it may be a passage.
    """

    text: str
    path: tuple[str, ...]
    kind: str
    key: str
    whole: str

    @property
    def same(self) -> tuple[str, ...]:
        """What other rows may say too: the whole text."""
        return (text_key(self.whole),)


def documents(rows: Iterable[Row], source: TextSource) -> Iterator[Document]:
    """The documents of the first rows of a source; rows without text or below ``min_characters`` are passed over.

    ``source.documents`` counts rows, 0 takes all; every passage of a row keeps the row's key, and so its split.
    """
    taken = 0
    for number, row in enumerate(rows):
        with at_row(source, number):
            text = fill(source.template, row).strip()
        if len(text) < source.min_characters:
            continue
        path, key = place(source, number), row_key(row)
        for piece in passages(text, source.passage_characters) if source.passage_characters else [text]:
            yield Document(piece, path, source.kind, key, text)
        taken += 1
        if taken == source.documents:
            return


def passages(text: str, characters: int) -> list[str]:
    """Consecutive pieces of at most ``characters``, cut at the last line end, sentence end or space that fits.

    >>> passages("One two. Three four.", 12)
    ['One two.', 'Three four.']
    """
    pieces = []
    while len(text) > characters:
        cut = _last_break(text[: characters + 1]) or characters
        pieces.append(text[:cut].strip())
        text = text[cut:].strip()
    return [*pieces, text] if text else pieces


def _last_break(head: str) -> int:
    """Just behind the last line end, else sentence end, else space of ``head``, without its last character; or 0."""
    for mark in ("\n", ". ", " "):
        if (at := head.rfind(mark)) > 0:
            return at + len(mark) - 1
    return 0
