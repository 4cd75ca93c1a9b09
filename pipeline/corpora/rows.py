"""What a row says: its place in the tree, its columns by name, a template filled in."""

import string
from collections.abc import Mapping
from typing import Any

from pipeline.errors import PipelineError
from pipeline.settings.corpus import Source

Row = Mapping[str, Any]


def place(source: Source, row_number: int) -> tuple[str, ...]:
    """The node of a row; ``{block}`` is the number of its block of ``lines_per_block`` consecutive rows."""
    block = row_number // source.lines_per_block if source.lines_per_block else 0
    return tuple(node.replace("{block}", str(block)) for node in source.path)


def column(row: Row, name: str, source: Source) -> Any:
    """A row's value; a column that it lacks is refused in a sentence that names those there are."""
    try:
        return row[name]
    except KeyError:
        present = ", ".join(sorted(row))
        raise PipelineError(f"{origin(source)} has no column `{name}`; it has {present}") from None


def cell(row: Row, name: str, source: Source) -> str:
    """A row's value as text; a null is empty."""
    value = column(row, name, source)
    return "" if value is None else str(value).strip()


def fill(template: str, row: Row, source: Source) -> str:
    """The template with each ``{column}`` replaced; braces inside the values stay as they are."""
    parts = string.Formatter().parse(template)
    return "".join(text + (cell(row, name, source) if name is not None else "") for text, name, _, _ in parts)


def origin(source: Source) -> str:
    """The source as a sentence names it."""
    return source.file or f"data set {source.dataset}"
