"""Whatever bytes a corpus file holds: rows that can be written down, or one PipelineError; never another exception."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.corpus.documents import documents, split_rows
from pipeline.corpus.questions import questions
from pipeline.corpus.rows import read_file
from pipeline.corpus.settings import ProbeSource, TextSource

ROWS = [{"text": f"Où est n° {i}?", "answer": f"là {i}", "options": ["a", "b", "c", "d"]} for i in range(6)]
ODD = st.sampled_from(
    [b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b"\\ud800", b"\r", b"[" * 5000, b"NaN", b"9" * 5000, b"{"]
)


def jsonl() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def csv() -> bytes:
    return (
        b"text,answer,options\n"
        + "".join(
            f'{row["text"]},"{row["answer"]}","{json.dumps(row["options"]).replace(chr(34), chr(34) * 2)}"\n'
            for row in ROWS
        ).encode()
    )


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file, compression="snappy")
    return file.getvalue()


def text() -> bytes:
    return "\n\n".join(row["text"] for row in ROWS).encode()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The file with a piece cut out, bytes changed, or something odd put in; seldom bytes of no meaning at all."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        put = draw(st.one_of(ODD, st.binary(max_size=8)))
        content[start : start + draw(st.sampled_from([0, 1, 4, 60, 10**6]))] = put
    return draw(st.one_of(st.just(bytes(content)), st.binary(max_size=200))) if draw(st.booleans()) else bytes(content)


def read_all(path: Path) -> list[Any]:
    text_source = TextSource(file=path.name, passage_characters=100)
    probe_source = ProbeSource(file=path.name, prompt="{text}", choices=("options",))
    found: list[Any] = []
    for read in (
        lambda: documents(read_file(path), text_source),
        lambda: questions(read_file(path), probe_source, 0),
        lambda: questions(read_file(path), ProbeSource(file=path.name, prompt="{text}"), 0),
    ):
        try:
            found += read()
        except PipelineError as error:
            assert "\n" not in str(error) and str(error).isprintable(), "one sentence that every terminal can show"
    return found


@pytest.mark.parametrize(
    ("name", "whole"), [("a.jsonl", jsonl), ("a.csv", csv), ("a.parquet", parquet), ("a.txt", text)]
)
def test_damaged_files(tmp_path: Path, name: str, whole: Callable[[], bytes]) -> None:
    path = tmp_path / name

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(whole()))
    def each(content: bytes) -> None:
        path.write_bytes(content)
        found = read_all(path)
        split_rows(found, 0)
        json.dumps([item.text if hasattr(item, "text") else item.prompt for item in found], ensure_ascii=False).encode()

    path.write_bytes(whole())
    assert len(read_all(path)) >= len(ROWS), "the file is sound before it is damaged"
    each()
