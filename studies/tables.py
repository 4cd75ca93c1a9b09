"""The tables of README.md, docs/ and the studies' pages, from committed results.

    uv run python -m studies.tables

rewrites what stands between `<!-- table PART/NAME -->` and `<!-- end -->`, and data/baselines/refits_world.json, which
reports of runs show beside their own figures; a test compares. A part is a study,
`benchmarks`, `runs` (the committed runs of docs/runs/) or `stages` (dvc.yaml).
"""

import re
from pathlib import Path

from benchmarks import tables as benchmarks
from pipeline.core.files import read_json, write_json
from studies import run_tables, stage_tables
from studies.atlas import tables as atlas
from studies.dictionaries import tables as dictionaries
from studies.scope import tables as scope
from studies.trees import tables as trees
from studies.world import tables as world
from studies.world.refits import refits

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "studies").glob("*/README.md")))
REFITS = ROOT / "data/baselines/refits_world.json"
MARKED = re.compile(r"(<!-- table (\w+/\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
READ = {"runs": run_tables.TABLES, "stages": stage_tables.TABLES}
MEASURED = {
    "atlas": atlas.TABLES,
    "benchmarks": benchmarks.TABLES,
    "dictionaries": dictionaries.TABLES,
    "scope": scope.TABLES,
    "trees": trees.TABLES,
    "world": world.TABLES,
}


def names() -> set[str]:
    """Every table that has results; a study that has not run has no file."""
    measured = {f"{part}/{name}" for part, tables in MEASURED.items() for name in tables}
    read = {f"{part}/{name}" for part, tables in READ.items() for name in tables}
    return read | {name for name in measured if result_of(name).exists()}


def result_of(name: str) -> Path:
    """The file that a table is made from."""
    part, table = name.split("/")
    file = f"{MEASURED[part][table][0]}.json"
    return ROOT / "benchmarks" / file if part == "benchmarks" else ROOT / "studies" / part / "results" / file


def made(name: str) -> str:
    """The table of that name."""
    part, table = name.split("/")
    if part == "runs":
        return run_tables.TABLES[table](run_tables.all_runs())
    if part == "stages":
        return stage_tables.TABLES[table]()
    return MEASURED[part][table][1](read_json(result_of(name)))


def filled(page: str) -> str:
    """The page with every table made anew."""
    return MARKED.sub(lambda match: f"{match[1]}{made(match[2])}\n{match[3]}", page)


def main() -> None:
    write_json(REFITS, refits(read_json(result_of("world/topic"))))
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
