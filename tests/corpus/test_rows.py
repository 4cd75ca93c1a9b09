"""Rows of local files: each format gives the same rows, and each fault is one sentence that names file and line."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import PipelineError
from pipeline.corpus.cells import at_row, column, fill, place
from pipeline.corpus.rows import file_path, read_file
from pipeline.corpus.settings import Source

ROWS = [{"question": "Who, and why?", "answer": "Ann\nLee"}, {"question": "Où {x}?", "answer": "Là"}]


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in ROWS), encoding="utf-8")
    csv_text = '\ufeffquestion,answer\r\n"Who, and why?","Ann\nLee"\r\nOù {x}?,Là\r\n'
    (tmp_path / "a.csv").write_bytes(csv_text.encode())
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert list(read_file(tmp_path / name)) == ROWS, name


def test_blank_lines_separate_the_documents_of_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\nOne\nstill one.\n \n\nTwo.", encoding="utf-8")
    assert list(read_file(tmp_path / "a.txt")) == [{"text": "One\nstill one."}, {"text": "Two."}]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", None, r"a\.jsonl is missing"),
        ("a.jsonl", "", r"a\.jsonl is empty"),
        ("a.jsonl", '{"a": 1}\n\n{"a": \n', r"a\.jsonl, line 3 is not JSON"),
        ("a.jsonl", '{"a": 1}\n[1, 2]\n', r"a\.jsonl, line 2 is a JSON list; it must be an object"),
        ("a.csv", "a,b\n1,2\n1\n", r"a\.csv, line 3 does not have the 2 columns"),
        ("a.csv", "a,b\n1,2,3\n", r"a\.csv, line 2 does not have the 2 columns"),
        ("a.parquet", "no table", r"a\.parquet is not a Parquet file"),
        ("a.txt", b"caf\xe9", r"a\.txt, line 1 is not UTF-8 text \(byte 3 of the file is 0xe9\)"),  # Latin-1
        ("a.jsonl", b'{"a": "caf\xe9"}', r"a\.jsonl, line 1 is not UTF-8 text"),
    ],
)
def test_faulty_files(tmp_path: Path, name: str, content: str | bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(PipelineError, match=sentence):
        list(read_file(tmp_path / name))


def test_a_missing_column_names_those_present() -> None:
    sentence = r"q\.jsonl, row 3: there is no column `text`; it has answer, question"
    with pytest.raises(PipelineError, match=sentence), at_row(Source(file="q.jsonl"), 2):
        column(ROWS[0], "text")


def test_a_template_leaves_braces_in_the_data_alone() -> None:
    assert fill("{question} -> {answer}", ROWS[1]) == "Où {x}? -> Là"
    assert fill("{{{a}}}", {"a": 1}) == "{1}"


def test_what_is_missing_is_empty_and_a_row_of_nothing_says_nothing() -> None:
    assert fill("[{a}] {b}", {"a": None, "b": "x"}) == "[] x"
    assert fill("[{a}] {b}", {"a": None, "b": " "}) == ""


def test_a_block_of_lines_is_a_node() -> None:
    source = Source(file="q.jsonl", path=("authors", "author_{block}"), lines_per_block=20)
    assert [place(source, row)[1] for row in (0, 19, 20, 45)] == ["author_0", "author_0", "author_1", "author_2"]


def test_relative_files_start_in_the_folder_and_absolute_ones_do_not(tmp_path: Path) -> None:
    assert file_path(Source(file="a.csv"), "data") == Path("data/a.csv")
    assert file_path(Source(file=str(tmp_path / "a.csv")), "data") == tmp_path / "a.csv"
