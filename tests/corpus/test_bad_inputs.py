"""Cells by one rule in every format: a table of values with what they read as, or the sentence that refuses them."""

import csv
import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import PipelineError
from pipeline.corpus.cells import check_template
from pipeline.corpus.documents import documents
from pipeline.corpus.questions import questions
from pipeline.corpus.rows import check_file, file_path, read_file
from pipeline.corpus.settings import ProbeSource, Source, TextSource

MISSING = ""
COLORS = ["red", "green", "blue", "white"]


def read_one(path: Path) -> list[str]:
    return [document.text for document in documents(read_file(path), TextSource(file=path.name))]


@pytest.mark.parametrize(
    ("value", "reads_as", "reason"),
    [
        ("abc", "abc", "text"),
        (" a b \n", "a b", "white space at the ends says nothing"),
        ("\ufeffabc", "abc", "a byte-order mark at the beginning is no part of the text"),
        ("abc\u200b", "abc", "nor is a zero-width space at the end"),
        ("a\u200db", "a\u200db", "a joiner inside a word belongs to it"),
        ("👩\u200d🔬", "👩\u200d🔬", "and to an emoji"),
        ("नमस्\u200cते", "नमस्\u200cते", "and to Hindi"),
        ("𒀀", "𒀀", "beyond the basic plane: two halves in JSON, one character"),
        ("nan", "nan", "three letters, as in bread"),
        ("None", "None", "four letters, as in a name"),
        ("-", "-", "a mark that can be seen"),
        (None, MISSING, "nothing"),
        ("", MISSING, "empty"),
        (" \t\u00a0\u3000", MISSING, "white space of all widths"),
        ("\u200b\u200b", MISSING, "zero-width spaces"),
        ("\u200c\u200d\u2060\ufeff", MISSING, "joiners and a byte-order mark"),
        ("\u00ad", MISSING, "a soft hyphen alone"),
        ("\u2800\u3164", MISSING, "blanks that are letters by their kind"),
        ("\u202e\u202c", MISSING, "changes of direction around nothing"),
        ("\u0301", MISSING, "an accent without a letter"),
        (3, "3", "a whole number"),
        (-1, "-1", "below zero too"),
        (2.5, "2.5", "a number with a point"),
        (True, "true", "as JSON writes it"),
        (False, "false", "which is not missing"),
        (0, "0", "neither is nought"),
    ],
)
def test_every_format_reads_a_cell_the_same(tmp_path: Path, value: Any, reads_as: str, reason: str) -> None:
    other = {"text": "other"}  # beside it, so that a file has a row in any case
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": value}) + "\n" + json.dumps(other), encoding="utf-8")
    pq.write_table(pa.table({"text": pa.array([value])}), tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        as_written = json.dumps(value) if isinstance(value, bool) else value
        csv.writer(file).writerows([["text", "id"], [as_written, 1], ["other", 2]])
    expected = [] if reads_as == MISSING else [reads_as]
    assert read_one(tmp_path / "a.jsonl") == [*expected, "other"], reason
    assert read_one(tmp_path / "a.csv") == [*expected, "other"], reason
    assert read_one(tmp_path / "a.parquet") == expected, reason
    if isinstance(value, str):
        (tmp_path / "a.txt").write_text(f"{value}\n\nother", encoding="utf-8")
        assert read_one(tmp_path / "a.txt") == [*expected, "other"], reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"abc", "abc"),
        ("Là".encode(), "Là"),
        (b"", MISSING),
        (float("nan"), MISSING),
        (Decimal("2.50"), "2.50"),
        (Decimal("1E+2"), "100"),
        (b"\xff\xfe", "row 1: column `text` holds bytes that are not UTF-8 text"),
        (b"a\0b", "row 1: column `text` holds a NUL character"),
        (["a", "b"], "row 1: column `text` holds a list; it must hold text or a number"),
        ([], "row 1: column `text` holds a list"),
        ({"a": 1}, "row 1: column `text` holds a mapping"),
        (float("inf"), "row 1: column `text` holds an infinite number"),
        (datetime.date(2020, 1, 1), "row 1: column `text` holds a date"),
        (datetime.datetime(2020, 1, 1), "row 1: column `text` holds a datetime"),
        (datetime.timedelta(1), "row 1: column `text` holds a timedelta"),
        (datetime.time(1), "row 1: column `text` holds a time"),
    ],
)
def test_what_only_parquet_can_hold(tmp_path: Path, value: Any, expected: str) -> None:
    pq.write_table(pa.table({"text": pa.array([value])}), tmp_path / "a.parquet")
    if expected.startswith("row"):
        with pytest.raises(PipelineError, match=f"a.parquet, {expected}"):
            read_one(tmp_path / "a.parquet")
    else:
        assert read_one(tmp_path / "a.parquet") == ([] if expected == MISSING else [expected])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": 1.50}', "1.50"),  # as it is written, as a CSV file has it
        ('{"text": 1e5}', "1e5"),
        ('{"text": NaN}', MISSING),
        ('{"text": "\\ud83d\\ude00"}', "😀"),
        ('{"text": "x", "other": "\\ud800"}', "x"),  # a column that is not read may hold anything
        ('{"text": "\\ud800"}', r"column `text` holds \\ud800, half of a surrogate pair"),
        ('{"text": "a\\udfffb"}', r"column `text` holds \\udfff, half of a surrogate pair"),
        ('{"text": "a\\u0000b"}', "column `text` holds a NUL character"),
        ('{"text": Infinity}', "column `text` holds an infinite number"),
        ('{"text": -Infinity}', "column `text` holds an infinite number"),
        ('{"text": ["a"]}', "column `text` holds a list"),
        ('{"text": {"a": "b"}}', "column `text` holds a mapping"),
        ('{"\\ud800\\n": 1}', r"there is no column `text`; it has \\ud800\\n"),
        ("{}", "there is no column `text`; it has none"),
        ('{"text": ' + "9" * 5000 + "}", "line 1 holds an integer too long"),
        ('{"text": ' + "[" * 100_000, "line 1 is nested too deeply"),
        ('"text"', "line 1 is a JSON str; it must be an object"),
        ("3", "line 1 is a JSON int"),
        ("null", "line 1 is a JSON NoneType"),
        ("{'text': 1}", "line 1 is not JSON"),
        ('{"text": "a\tb\x01"}', "line 1 is not JSON: Invalid control character"),
    ],
)
def test_lines_of_json(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    if expected == MISSING or len(expected) < 9:
        assert read_one(tmp_path / "a.jsonl") == ([] if expected == MISSING else [expected])
    else:
        with pytest.raises(PipelineError, match=expected):
            read_one(tmp_path / "a.jsonl")


@pytest.mark.parametrize("depth", [100, 300, 900, 960, 980, 990, 1000, 5000])
def test_a_deep_column_that_is_not_read_is_carried_or_refused(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "deep": ' + "[" * depth + "]" * depth + "}", encoding="utf-8")
    try:
        assert read_one(tmp_path / "a.jsonl") == ["x"]
    except PipelineError as error:
        assert "nested too deeply" in str(error)
        assert depth > 300


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'\xef\xbb\xbf{"text": "x"}', ["x"]),
        ("a.jsonl", b'{"text": "x"}\n\xef\xbb\xbf{"text": "y"}', ["x", "y"]),  # two files joined
        ("a.jsonl", b'{"text": "x"}\r\n\r\n{"text": "y"}\r\n', ["x", "y"]),
        ("a.txt", b"\xef\xbb\xbfx\n\ny", ["x", "y"]),
        ("a.txt", b"x\r\rz\r\n\r\ny", ["x", "z", "y"]),  # old and new line ends
        ("a.txt", "x\n\u200b\ny".encode(), ["x", "y"]),  # a line in which nothing can be seen is blank
        ("a.csv", b"\xef\xbb\xbftext\nx\n", ["x"]),
        ("a.csv", b"text\n" + b"x" * 300_000 + b"\n", ["x" * 300_000]),  # beyond csv's own 128 KiB
        ("a.csv", b'text,id\n"a ""b"" c",1\n', ['a "b" c']),
        ("a.csv", b"text,id\na\rb,1\n", "line 2 does not have the 2 columns"),
        ("a.csv", b'text,id\n"a,1\nb,2\n', "line 3 is not CSV: unexpected end of data"),
        ("a.csv", b'text,id\n"a"b,1\n', "line 2 is not CSV: ',' expected after '\"'"),
        ("a.csv", b"text,text\na,b\n", "has two columns named text"),
        ("a.csv", b"text;id\na;1\n", "row 1: there is no column `text`; it has text;id"),
        ("a.csv", "text\nx".encode("utf-16"), "a.csv is UTF-16 text; it must be plain UTF-8"),
        ("a.txt", "x".encode("utf-16"), "a.txt is UTF-16 text"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16-le"), "a.jsonl holds NUL bytes, as UTF-16"),
        ("a.txt", "x".encode("utf-32-be"), "a.txt holds NUL bytes"),
        ("a.txt", b"fine\n" * 20 + b"a\0b", "row 1: column `text` holds a NUL character"),
        ("a.csv", "text\nprix: 3 €".encode("cp1252"), r"line 2 is not UTF-8 text \(byte 13 of the file is 0x80\)"),
        ("a.txt", b"fine\n" * 3 + b"caf\xe9", r"line 4 is not UTF-8 text \(byte 18 of the file is 0xe9\)"),
        ("a.txt", "日本".encode("shift-jis"), r"line 1 is not UTF-8 text \(byte 0 of the file is 0x93\)"),
        (
            "a.txt",
            "x日".encode()[:-1],
            r"line 1 is not UTF-8 text \(byte 1 of the file is 0xe6\)",
        ),  # cut in a character
        ("a.jsonl", b"\x1f\x8b\x08\0\0\0\0\0", "a.jsonl is a gzip archive"),
        ("a.jsonl", b"PK\x03\x04\x14\0\0\0", "a.jsonl is a zip archive"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of git LFS"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of git LFS"),
        ("a.parquet", b"PAR1" + bytes(40) + b"PAR1", "is not a Parquet file that can be read"),
    ],
)
def test_files(tmp_path: Path, name: str, content: bytes, expected: str | list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    if isinstance(expected, list):
        assert read_one(tmp_path / name) == expected
    else:
        with pytest.raises(PipelineError, match=expected):
            read_one(tmp_path / name)


def test_a_parquet_file_that_is_cut_damaged_or_names_a_column_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"some text {i}" for i in range(1000)]}), path, compression="zstd")
    whole = path.read_bytes()
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:200] + bytes(200) + whole[400:], whole[4:]):
        path.write_bytes(content)
        with pytest.raises(PipelineError, match=r"a\.parquet is not a Parquet file that can be read: \S"):
            list(read_file(path))
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    with pytest.raises(PipelineError, match=r"a\.parquet has two columns named text; rename one"):
        list(read_file(path))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PipelineError, match=r"corpus file .*a\.txt can't be read: Permission denied"):
        check_file(tmp_path / "a.txt")


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no home folder is known for its `~`"):
        file_path(Source(file="~nobody-of-this-name/a.txt"), "")
    for path in (tmp_path, tmp_path / "a\0.txt"):
        with pytest.raises(PipelineError, match="is missing"):
            check_file(path)
    with pytest.raises(PipelineError, match="can't be read: File name too long"):
        check_file(tmp_path / ("a" * 300 + ".txt"))


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{text", "has a stray brace"),
        ("text}", "has a stray brace"),
        ("{text}}", "has a stray brace"),
        ("{{text}", "has a stray brace"),
        ("{}", "has empty braces"),
        ("{text!r}", "asks for a format of `text`"),
        ("{text:.10}", "asks for a format of `text`"),
        ("text", "names no column"),
        ("{{text}}", "names no column"),
    ],
)
def test_templates(template: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=rf"a\.txt: the template .* {sentence}"):
        check_template(template, Source(file="a.txt"))


def ask(rows: list[dict[str, Any]], path: Path, **source: Any) -> list[str]:
    """The answers of the rows, read from a file of each format that can hold them: all must agree."""
    found = []
    for name in ("a.jsonl", "a.csv"):
        with (path / name).open("w", encoding="utf-8", newline="") as file:
            if name == "a.jsonl":
                file.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                table = csv.DictWriter(file, rows[0])
                table.writeheader()
                table.writerows(
                    {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items() if v is not None}
                    for row in rows
                )
        asked = questions(read_file(path / name), ProbeSource(file=name, prompt="{q}", **source), 0)
        found.append([question.answer for question in asked])
    assert found[0] == found[1], "JSON lines and CSV say the same"
    return found[0]


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        (2, COLORS, ["blue"]),
        ("2", COLORS, ["blue"]),
        (1, ["1", "0", "7", "9"], "the answer '1' is the text of one option and the number or letter of another"),
        (1, ["7", "1", "0", "9"], ["1"]),  # number and text agree
        ("C", COLORS, ["blue"]),
        ("white", COLORS, ["white"]),
        ("B", ["A", "C", "B", "D"], "the answer 'B' is the text of one option and the number or letter of another"),
        (1912, [1911, 1912, 1913, 1914], ["1912"]),
        (2.5, [1.5, 2.5, 3.5, 4.5], ["2.5"]),
        (True, [True, False, "both", "neither"], ["true"]),
        (False, [True, False, "both", "neither"], ["false"]),
        (None, COLORS, []),  # no answer: passed over
        ("", COLORS, []),
        (0, ["red", "green", "", "white"], []),  # an option is missing
        (0, ["red", "green", None, "white"], []),
        (4, COLORS, "row 1: the answer '4' is not the number, letter or text of an option"),
        (-1, COLORS, "the answer '-1' is not the number"),
        ("E", COLORS, "the answer 'E' is not"),
        ("b", COLORS, "the answer 'b' is not"),
        (0, [["red"], "green", "blue", "white"], "row 1: column `options` holds a list"),
        (0, {"a": "red"}, "row 1: column `options` must hold a list of the options"),
        (0, "red, green", "row 1: column `options` must hold a list of the options"),
        ([1], COLORS, "row 1: column `answer` holds a list"),
    ],
)
def test_the_answer_means_the_same_in_every_format(tmp_path: Path, answer: Any, options: Any, expected: Any) -> None:
    rows = [{"q": "Which?", "options": options, "answer": answer}]
    if isinstance(expected, list):
        assert ask(rows, tmp_path, choices=("options",)) == expected
        return
    for stored in (json.dumps, str):  # as a CSV file has it; a number alone may say that it is one
        with pytest.raises(PipelineError, match=expected):
            row = {"q": "Which?", "options": options, "answer": answer if isinstance(answer, list) else stored(answer)}
            row["answer"] = row["answer"].strip('"') if isinstance(row["answer"], str) else row["answer"]
            questions([row], ProbeSource(file="a.csv", prompt="{q}", choices=("options",)), 0)


def test_an_integer_of_json_is_the_number_of_an_option() -> None:
    """As in WMDP and MMLU, whose options are numbers now and then."""
    row = {"q": "Which?", "options": ["4", "3", "2", "1"], "answer": 2}
    (question,) = questions([row], ProbeSource(file="a.jsonl", prompt="{q}", choices=("options",)), 0)
    assert question.answer == "2"
    row = {"q": "Which?", "options": ["4", "3", "1", "2"], "answer": 2}
    (question,) = questions([row], ProbeSource(file="a.jsonl", prompt="{q}", choices=("options",)), 0)
    assert question.answer == "1"


def test_free_answers_of_numbers_and_truth_values(tmp_path: Path) -> None:
    rows = [{"q": f"q{i}", "answer": answer} for i, answer in enumerate([1, 2.5, True, "x", None, "", "4.0"])]
    assert ask(rows, tmp_path) == ["1", "2.5", "true", "x", "4.0"]


def test_rows_without_a_question_are_passed_over(tmp_path: Path) -> None:
    rows = [{"q": None, "answer": "a"}, {"q": "\u200b", "answer": "b"}]
    rows += [{"q": f"q{i}", "answer": f"a{i}"} for i in range(4)]
    assert ask(rows, tmp_path) == ["a0", "a1", "a2", "a3"]
    lettered = ProbeSource(file="a.jsonl", prompt="{q}\n{choices}", choices=("options",))
    assert questions([{"q": None, "options": COLORS, "answer": 0}], lettered, 0) == []
