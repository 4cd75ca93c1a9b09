"""docs/: its tables are those of the committed benchmark results, the paths it names exist."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.doc_tables import ROOT, TABLE, TABLES, filled, result_of

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "run `uv run python -m benchmarks.doc_tables`"
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_every_table_that_has_results_is_shown() -> None:
    shown = {match[2] for page in PAGES for match in TABLE.finditer(page.read_text(encoding="utf-8"))}
    assert shown == {name for name in TABLES if rows_of(name)}


def rows_of(name: str) -> list[str]:
    """Lines of a table below its head; the study has no file for a kind of cells before its first one."""
    if not result_of(name).exists():
        return []
    return TABLES[name](json.loads(result_of(name).read_text(encoding="utf-8"))).splitlines()[2:]
