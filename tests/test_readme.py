"""README.md: its figures are those of the committed run, the paths it names exist, its Python runs as it stands."""

import re
from pathlib import Path

import pytest

from benchmarks.readme_results import README, RUN, block, results

TEXT = README.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_committed_run():
    assert block(TEXT) == results(RUN), "run `uv run python -m benchmarks.readme_results`"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXT))))
def test_linked_files_exist(root: Path, target: str):
    assert (root / target).exists()


def test_the_tree_names_every_folder(root: Path):
    named = set(re.findall(r"(?m)^\s*(\w+)/ ", TEXT))
    packages = {path.parent.name for path in root.glob("pipeline/*/__init__.py")}
    top = {"pipeline", "stages", "runs", "data", "tests", "benchmarks", "docs"}
    assert packages | top <= named, sorted((packages | top) - named)
