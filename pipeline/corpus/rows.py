"""Rows of one source, a mapping of columns each: local JSON lines, CSV, Parquet or text, or a data set of the hub.

Text files are UTF-8, with or without a byte-order mark. Whatever bytes a file holds, reading it gives rows or one
sentence that names the file, the place in it, and the cause.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet

from pipeline.core.errors import PipelineError
from pipeline.core.weight_files import is_lfs_pointer
from pipeline.corpus.cells import Row, named, printable, visible
from pipeline.corpus.settings import Source

# What begins with these bytes is no text, whatever its name ends in.
_MAGIC = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}


def file_path(source: Source, folder: str) -> Path:
    """Where a local source lies: absolute, or relative to ``folder``; ``~`` is the home folder."""
    try:
        return Path(folder).expanduser() / Path(source.file).expanduser()
    except RuntimeError:  # ~name of a user whom this machine does not know
        raise PipelineError(f"corpus file {source.file} in {folder!r}: no home folder is known for its `~`") from None


def check_file(path: Path) -> None:
    """Refuse, by its first bytes, a file that is not there, holds nothing, or is not what its name says."""
    try:
        _check_start(path)
    except OSError as error:  # no right to read it, a name too long, a disk that fails
        raise PipelineError(f"corpus file {path} can't be read: {error.strerror}") from None


def _check_start(path: Path) -> None:
    if not path.is_file():
        raise PipelineError(f"corpus file {path} is missing; put it there or change `corpus.folder` or `file`")
    if path.stat().st_size == 0:
        raise PipelineError(f"corpus file {path} is empty; it must hold at least one row")
    if is_lfs_pointer(path):
        raise PipelineError(f"corpus file {path} is a pointer of git LFS, not the text; run `git lfs pull` there")
    if path.suffix != ".parquet":
        _check_text(path)


def _check_text(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(64)
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise PipelineError(f"corpus file {path} is {what}; it must be plain UTF-8 text")
    if 0 in head:
        raise PipelineError(f"corpus file {path} holds NUL bytes, as UTF-16 and binary files do; convert it to UTF-8")


def read_file(path: Path) -> Iterator[Row]:
    """The rows of a local file, in order; its ending says how to read it."""
    check_file(path)
    try:
        yield from _READERS[path.suffix](path)
    except UnicodeDecodeError:
        raise _not_utf8(path) from None


def read_source(source: Source, folder: str) -> Iterator[Row]:
    """The rows of any source, in order."""
    if source.file:
        return read_file(file_path(source, folder))
    # Importing `datasets` takes seconds, which a run on local files need not spend.
    from pipeline.corpus.hub import read_dataset

    return read_dataset(source)


def _not_utf8(path: Path) -> PipelineError:
    """The sentence for the first bytes that are no UTF-8, found by a second reading."""
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                at, byte = offset + error.start, line[error.start]
                return PipelineError(
                    f"corpus file {path}, line {number} is not UTF-8 text (byte {at} of the file is 0x{byte:02x}); "
                    "convert the file to UTF-8"
                )
            offset += len(line)
    return PipelineError(f"corpus file {path} changed while it was read; run again")


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if visible(line):
                yield _json_row(line.lstrip("\ufeff"), f"{path}, line {number}")  # joined files keep their marks


def _json_row(line: str, where: str) -> Row:
    """Numbers with a point stay as they are written, as in a CSV file; NaN is nothing."""
    try:
        row = json.loads(line, parse_float=str, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise PipelineError(f"{where} is not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise PipelineError(f"{where} is nested too deeply to be read") from None
    except ValueError:  # of integers only
        raise PipelineError(f"{where} holds an integer too long to be read; write it as text") from None
    if not isinstance(row, dict):
        raise PipelineError(f"{where} is a JSON {type(row).__name__}; it must be an object")
    return row


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


def _csv(path: Path) -> Iterator[Row]:
    """Comma-separated values with a line of column names; a cell may be of any length."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, strict=True)
        try:
            _check_columns(list(table.fieldnames or ()), path)
            for row in table:
                if None in row or None in row.values():
                    n = len(table.fieldnames or ())
                    raise PipelineError(
                        f"{path}, line {table.line_num} does not have the {n} columns of its first line"
                    )
                yield row
        except csv.Error as error:
            raise PipelineError(f"{path}, line {table.reader.line_num} is not CSV: {error}") from None


def _parquet(path: Path) -> Iterator[Row]:
    """Every fault of a damaged file, also one met in its middle, is pyarrow's to name; of the errors it raises there
    are many kinds."""
    try:
        table = pyarrow.parquet.ParquetFile(path)
        _check_columns(table.schema_arrow.names, path)
        for batch in table.iter_batches():
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise PipelineError(f"{path} is not a Parquet file that can be read: {printable(cause)}") from None


def _paragraphs(path: Path) -> Iterator[Row]:
    """Plain text: blank lines separate the documents."""
    lines: list[str] = []
    with path.open(encoding="utf-8-sig") as text:
        for line in chain(text, [""]):
            if visible(line):
                lines.append(line)
            elif lines:
                yield {"text": "".join(lines).strip()}
                lines = []


def _check_columns(names: list[Any], path: Path) -> None:
    """Of two columns of one name, a mapping would silently keep the last."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise PipelineError(f"{path} has two columns named {named(twice)}; rename one")


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
    ".txt": _paragraphs,
}
