"""Rows of one source, a mapping of columns each: local JSON lines, CSV, Parquet or text, or a data set of the hub.

What a row says: its place in the tree, its columns by name, a template filled in.
"""

import csv
import json
import string
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet

from pipeline.core.errors import PipelineError
from pipeline.corpus.settings import Source

Row = Mapping[str, Any]


def file_path(source: Source, folder: str) -> Path:
    """Where a local source lies: absolute, or relative to ``folder``."""
    return Path(folder).expanduser() / Path(source.file).expanduser()


def check_file(path: Path) -> None:
    """Refuse a file that is not there or holds nothing."""
    if not path.is_file():
        raise PipelineError(f"corpus file {path} is missing; put it there or change `corpus.folder` or `file`")
    if path.stat().st_size == 0:
        raise PipelineError(f"corpus file {path} is empty; it must hold at least one row")


def read_file(path: Path) -> Iterator[Row]:
    """The rows of a local file, in order; its ending says how to read it."""
    check_file(path)
    try:
        yield from _READERS[path.suffix](path)
    except UnicodeDecodeError:
        raise PipelineError(f"corpus file {path} is not UTF-8 text; convert it") from None


def read_source(source: Source, folder: str) -> Iterator[Row]:
    """The rows of any source, in order."""
    if source.file:
        return read_file(file_path(source, folder))
    # Importing `datasets` takes seconds, which a run on local files need not spend.
    from pipeline.corpus.hub import read_dataset

    return read_dataset(source)


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise PipelineError(f"{path}, line {number} is not JSON: {error.msg} (column {error.colno})") from None
            if not isinstance(row, dict):
                raise PipelineError(f"{path}, line {number} is a JSON {type(row).__name__}; it must be an object")
            yield row


def _csv(path: Path) -> Iterator[Row]:
    """Comma-separated values with a line of column names; a byte-order mark, as spreadsheets write it, is skipped."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines)
        for row in table:
            if None in row or None in row.values():
                n = len(table.fieldnames or ())
                raise PipelineError(f"{path}, line {table.line_num} does not have the {n} columns of its first line")
            yield row


def _parquet(path: Path) -> Iterator[Row]:
    try:
        table = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid:
        raise PipelineError(f"{path} is not a Parquet file") from None
    for batch in table.iter_batches():
        yield from batch.to_pylist()


def _paragraphs(path: Path) -> Iterator[Row]:
    """Plain text: blank lines separate the documents."""
    lines: list[str] = []
    with path.open(encoding="utf-8") as text:
        for line in (*text, ""):
            if line.strip():
                lines.append(line)
            elif lines:
                yield {"text": "".join(lines).strip()}
                lines = []


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
    ".txt": _paragraphs,
}


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
