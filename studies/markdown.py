"""Tables in Markdown, and medians as they stand in them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The lines of a table.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def grouped(rows: Iterable[dict[str, Any]], by: str = "name") -> dict[str, list[dict[str, Any]]]:
    """Rows by one of their entries, in the order of first appearance."""
    found = defaultdict(list)
    for row in rows:
        found[row[by]].append(row)
    return dict(found)


def middle(rows: Iterable[dict[str, Any]], name: str, digits: int) -> str:
    """The median of what is known, a dash where nothing is."""
    known = [row[name] for row in rows if row.get(name) is not None]
    return f"{median(known):.{digits}f}" if known else "-"
