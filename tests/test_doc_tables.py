"""docs/: its tables are those of the committed benchmark results, the paths it names exist."""

import re
from pathlib import Path

import pytest

from benchmarks.doc_tables import ROOT, TABLE, TABLES, filled

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "run `uv run python -m benchmarks.doc_tables`"
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_every_table_is_shown() -> None:
    shown = {match[2] for page in PAGES for match in TABLE.finditer(page.read_text(encoding="utf-8"))}
    assert shown == TABLES.keys()
