"""Tables in Markdown, and medians as they stand in them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np


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


def median_interval(values: Sequence[float], digits: int) -> str:
    """Median with the 95 % bootstrap interval over draws of them with replacement."""
    drawn = np.median(np.random.default_rng(0).choice(values, (2000, len(values))), axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{median(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
