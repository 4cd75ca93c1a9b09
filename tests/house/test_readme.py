"""README.md is short, and its tree names every folder."""

import re
from pathlib import Path

from studies.tables import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_read_in_one_sitting() -> None:
    assert len(TEXT.splitlines()) <= 160


def test_the_tree_names_every_folder(root: Path) -> None:
    tree = TEXT.partition("## Where things are")[2]
    named = set(re.findall(r"(\w+)/[, ]", tree))
    packages = {path.parent.name for part in ("pipeline", "studies") for path in root.glob(f"{part}/*/__init__.py")}
    top = {"pipeline", "stages", "studies", "runs", "data", "tests", "benchmarks", "docs"}
    assert packages | top <= named, sorted((packages | top) - named)
