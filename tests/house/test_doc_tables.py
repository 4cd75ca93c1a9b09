"""README.md, docs/ and the studies' pages: their tables are those of committed results, the paths they name exist."""

import re
from pathlib import Path

import pytest

from pipeline.core.files import read_json
from studies.recommended import recommended
from studies.tables import MARKED, PAGES, REFITS, ROOT, filled, names, result_of
from studies.world.refits import refits

IDS = [str(page.relative_to(ROOT)) for page in PAGES]
TO_MAKE = {"runs/mine.yaml", "stages/NAME.py", "pipeline/unlearning/clamps/loudest.py"}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_tables_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "run `uv run python -m studies.tables`"


def test_ranges_over_fits_are_those_of_the_study() -> None:
    made = refits(read_json(result_of("world/topic")))
    assert read_json(REFITS) == made, "run `uv run python -m studies.tables`"
    assert made["topic"]["npo"]["fits"] == 50


@pytest.mark.parametrize("page", [*PAGES, ROOT / "data/README.md"], ids=[*IDS, "data/README.md"])
def test_linked_files_exist(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_every_table_that_has_results_is_shown() -> None:
    shown = {match[2] for page in PAGES for match in MARKED.finditer(page.read_text(encoding="utf-8"))}
    assert shown == names()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "data/README.md"], ids=[*IDS, "data/README.md"])
def test_paths_in_backquotes_exist(page: Path) -> None:
    """``tests/sae/test_training.py``, ``pipeline/scope/``: what a page names is there, or is for the reader to make."""
    named = re.findall(r"`((?:pipeline|stages|studies|benchmarks|tests|docs|runs)/[\w./-]*)`", page.read_text("utf-8"))
    assert not [path for path in named if path not in TO_MAKE and not (ROOT / path).exists()]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "data/README.md"], ids=[*IDS, "data/README.md"])
def test_settings_in_backquotes_exist(page: Path) -> None:
    """``unlearning.more_methods``: a dotted name that starts with a section is a key of params.yaml."""
    sections = recommended().plain()
    for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)", page.read_text(encoding="utf-8")):
        found, *keys = name.split(".")
        at = sections.get(found, {})
        if found in sections and keys[-1] not in ("zarr", "json"):  # files have their names too
            for key in keys:
                assert key in at, name
                at = at[key]
