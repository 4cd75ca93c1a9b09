"""Whatever bytes a corpus file holds: rows that can be written down, or one PipelineError; never another exception."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from pipeline.core.errors import PipelineError
from pipeline.corpus.documents import documents, split_rows
from pipeline.corpus.questions import questions
from pipeline.corpus.rows import read_file
from pipeline.corpus.settings import ProbeSource, TextSource
from tests.support.damage import ROWS, SOUND, damaged


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


@pytest.mark.parametrize("name", SOUND)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / name, SOUND[name]()

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(whole))
    def each(content: bytes) -> None:
        path.write_bytes(content)
        found = read_all(path)
        split_rows(found, 0)
        json.dumps([item.text if hasattr(item, "text") else item.prompt for item in found], ensure_ascii=False).encode()

    path.write_bytes(whole)
    assert len(read_all(path)) >= len(ROWS), "the file is sound before it is damaged"
    each()
