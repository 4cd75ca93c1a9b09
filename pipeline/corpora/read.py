"""Rows of one source, a mapping of columns each: local JSON lines, CSV, Parquet or text, or a data set of the hub."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet

from pipeline.errors import PipelineError
from pipeline.settings.corpus import Source

Row = dict[str, Any]


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
    from pipeline.corpora.hub import read_dataset

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
