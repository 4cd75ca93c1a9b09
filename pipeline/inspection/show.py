"""Any inspected content on a terminal: plain values in one table, lists of rows in one each."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

SHORT = 28  # characters that are not worth a break
RUN = re.compile(r".+_\d+")  # a column that is named for a run keeps its name whole


def show(content: Mapping[str, Any], console: Console) -> None:
    """Print it; text from corpora is shown as it is (rich's ``[...]`` markup in it means nothing)."""
    plain = {key: value for key, value in content.items() if not isinstance(value, Mapping | list)}
    _print_pairs("", plain, console)
    for key, value in content.items():
        if isinstance(value, Mapping):
            _print_pairs(key, value, console)
        elif isinstance(value, list):
            _print_rows(key, value, console)


def _print_pairs(title: str, pairs: Mapping[str, Any], console: Console) -> None:
    if not pairs:
        return
    table = Table(title=escape(title) or None, title_justify="left", box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in pairs.items():
        table.add_row(escape(str(key)), escape(_text(value)))
    console.print(table)


def _print_rows(title: str, rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not rows:
        return
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    # what does not fit is broken at spaces, never cut off
    crowded = sum(2 + max(len(_text(row.get(name))) for row in rows) for name in names) > console.width
    for name in names:
        values = [row.get(name) for row in rows]
        number = all(isinstance(value, int | float | None) for value in values)
        words = [_text(value) for value in values]
        short = number or (max(map(len, words)) <= SHORT and not (crowded and any(" " in word for word in words)))
        head = escape(name if RUN.fullmatch(name) else name.replace("_", "\n"))
        least = max(map(len, words)) if short else None  # else a column that may not wrap is cut off
        side = "right" if number else "left"
        table.add_column(head, justify=side, overflow="fold", no_wrap=short, min_width=least)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else escape(_text(row[name])) for name in names))
    narrowest = console.measure(table, options=console.options.update(max_width=10_000)).minimum
    console.width = max(console.width, narrowest)
    console.print(table)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
