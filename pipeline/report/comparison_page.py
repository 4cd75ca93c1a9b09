"""Several runs on one page of the same kind as a run's: findings, the best of each kind, pictures, all tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.comparison import Run, comparison, levels
from pipeline.report.finding import target_screen
from pipeline.report.meanings import label
from pipeline.report.page import templated
from pipeline.report.tables import Table
from pipeline.report.trade_off import MARKS, trade_off

SCRIPTS = ("trade_off.js",)


def comparison_page(runs: Sequence[Run]) -> str:
    """The whole document: one HTML file that needs no other."""
    tables = {title: _table(rows) for title, rows in comparison(runs).items()}
    of_level = {
        level: [
            {"run": run.name, "screen": target_screen(run, level), "trade_off": trade_off(run, level)}
            for run in runs
            if run.means(f"unlearning/none/{level}")  # without what was before, nothing can be said of after
        ]
        for level in levels(runs)
    }
    values = {"runs": [run.name for run in runs], "of_level": of_level, "tables": tables, "marks": MARKS}
    return templated("compare.html", SCRIPTS, values)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of the comparison with words for the names of figures."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    return Table([label(name) for name in names], cells)


def _cell(column: str, value: Any) -> str | None:
    if value is None:
        return None
    return label(value) if column == "figure" else str(value)
