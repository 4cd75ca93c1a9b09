"""What a row says: its columns by name, as text, by one rule for every format.

Text is text, and UTF-8 bytes are decoded. Numbers and truth values read as JSON writes them (``3``, ``2.50``,
``true``), so that a CSV and a JSON-lines file of one content agree. Nothing, NaN and text in which no character can be
seen are missing, which is empty text. All else is refused with its column and row: lists, mappings, dates, images, an
infinite number, a NUL character (binary data, or UTF-16), half of a surrogate pair (which no file can hold).
"""

import contextlib
import string
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from math import isfinite, isnan
from numbers import Integral, Real
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.corpus.settings import Source

Row = Mapping[str, Any]
# White space, control and formatting characters (zero-width space and joiners, byte-order mark), bare accents.
_UNSEEN_KINDS = ("Zs", "Zl", "Zp", "Cc", "Cf", "Mn")
_ENDS = "\ufeff\u200b\u2060"  # mean nothing at the ends of a text
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters by their kind, blank by their shape


class UnreadableCell(Exception):
    """A cell that is not text; ``at_row`` adds where it stands."""


@contextlib.contextmanager
def at_row(source: Source, number: int) -> Iterator[None]:
    """Inside the block, a cell that cannot be read is refused with the source and the row, counted from 1."""
    try:
        yield
    except UnreadableCell as error:
        raise PipelineError(f"{origin(source)}, row {number + 1}: {error}") from None


def column(row: Row, name: str) -> Any:
    """A row's value; a column that it lacks is refused in a sentence that names those there are."""
    try:
        return row[name]
    except KeyError:
        raise UnreadableCell(f"there is no column `{name}`; it has {named(sorted(row))}") from None


def cell(row: Row, name: str) -> str:
    """A row's value as text, without white space at its ends; empty where it is missing."""
    return text_of(column(row, name), name)


def text_of(value: Any, name: str) -> str:
    """A value of column ``name`` as text."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        value = _decoded(bytes(value), name)
    if isinstance(value, str):
        _check_characters(value, name)
        return visible(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Real | Decimal):
        return _number(value, name)
    kind = {"list": "a list", "dict": "a mapping"}.get(type(value).__name__, f"a {type(value).__name__}")
    raise UnreadableCell(f"column `{name}` holds {kind}; it must hold text or a number")


def visible(text: str) -> str:
    """The text without white space and byte-order marks at its ends; empty if no character of it can be seen."""
    while (shorter := text.strip().strip(_ENDS)) != text:
        text = shorter
    return text if any(map(_is_seen, text)) else ""


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in _UNSEEN_KINDS and character not in _FILLERS


def _decoded(value: bytes, name: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableCell(f"column `{name}` holds bytes that are not UTF-8 text; decode them first") from None


def _check_characters(text: str, name: str) -> None:
    if "\0" in text:
        raise UnreadableCell(f"column `{name}` holds a NUL character, as binary data or UTF-16 has it; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise UnreadableCell(f"column `{name}` holds {half}, half of a surrogate pair; remove it") from None


def _number(value: Any, name: str) -> str:
    if isnan(value):
        return ""
    if not isfinite(value):
        raise UnreadableCell(f"column `{name}` holds an infinite number; it must hold text or a finite number")
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


def fill(template: str, row: Row) -> str:
    """The template with each ``{column}`` replaced; empty if all its columns are missing in this row.

    Braces inside the values stay as they are.
    """
    parts = template_parts(template)
    values = {name: cell(row, name) for _, name in parts if name is not None}
    return "".join(text + values.get(name, "") for text, name in parts) if any(values.values()) else ""


def check_template(template: str, source: Source) -> None:
    """Refuse a template that is not text with ``{column}`` in it."""
    where = f"{origin(source)}: the template {template!r}"
    try:
        names = [name for _, name in template_parts(template) if name is not None]
    except ValueError as error:
        raise PipelineError(f"{where} {error}") from None
    if not names:
        raise PipelineError(f"{where} names no column: all rows would read the same; write {{text}} or the like")


@lru_cache(maxsize=1024)
def template_parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """Pieces of plain text, each with the column that follows it (None: none)."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("has a stray brace; a brace that is to be read as it is must be written twice") from None
    for _, name, form, conversion in parsed:
        if name == "":
            raise ValueError("has empty braces; name a column in them")
        if form or conversion:
            raise ValueError(f"asks for a format of `{name}`, which is not understood; write {{{name}}}")
    return tuple((text, name) for text, name, _, _ in parsed)


def place(source: Source, row_number: int) -> tuple[str, ...]:
    """The node of a row; ``{block}`` is the number of its block of ``lines_per_block`` consecutive rows."""
    block = row_number // source.lines_per_block if source.lines_per_block else 0
    return tuple(node.replace("{block}", str(block)) for node in source.path)


def origin(source: Source) -> str:
    """The source as a sentence names it."""
    return source.file or f"data set {source.dataset}"


def named(columns: list[str]) -> str:
    """Names of columns in one line of a sentence, however odd or many they are."""
    shown = [printable(name) for name in columns[:20]]
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return (", ".join(name if len(name) <= 60 else f"{name[:60]}..." for name in shown) or "none") + more


def printable(text: str) -> str:
    """The text in one line that every terminal can show: what cannot be shown is escaped."""
    return text if text.isprintable() else repr(text)[1:-1]
