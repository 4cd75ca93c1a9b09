"""Rows become documents: the template filled in, long ones cut into passages."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.corpus.cells import Row, at_row, fill, place
from pipeline.corpus.settings import TextSource
from pipeline.corpus.splits import row_key, text_key


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
