"""README.md: its figures are those of the committed runs, the paths it names exist, its Python runs as it stands."""

import re
from pathlib import Path

import pytest

from benchmarks.run_results import MARKED, PAGES, TABLES, filled

README = PAGES[0]
TEXT = README.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tables_are_those_of_the_committed_runs(page: Path):
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "run `uv run python -m benchmarks.run_results`"


def test_every_table_is_shown():
    shown = {match[2] for page in PAGES for match in MARKED.finditer(page.read_text(encoding="utf-8"))}
    assert shown == TABLES.keys()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXT))))
def test_linked_files_exist(root: Path, target: str):
    assert (root / target).exists()


def test_the_tree_names_every_folder(root: Path):
    named = set(re.findall(r"(?m)^\s*(\w+)/ ", TEXT))
    packages = {path.parent.name for path in root.glob("pipeline/*/__init__.py")}
    top = {"pipeline", "stages", "runs", "data", "tests", "benchmarks", "docs"}
    assert packages | top <= named, sorted((packages | top) - named)
