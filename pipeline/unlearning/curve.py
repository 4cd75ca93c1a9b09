"""The forget-damage curve of a sweep: for every harm that is allowed, the least that is left of the target.

A sweep's candidates are points (harm, remains). The curve is their lower envelope, a staircase that starts at the model
as it is (no harm, everything left); the area under it, up to a largest harm, compares methods over their whole range: 1
is nothing forgotten, 0 everything for free.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pipeline.unlearning.damage import CHANCE

HARMS = ("sibling_drop", "other_drop", "general_drop")
MOST_HARM = 20.0  # points; an edit that costs more is not worth comparing


class Point(NamedTuple):
    harm: float  # points (0-100) lost where nothing should be
    remains: float  # 0 (cloze gone, choice at chance) to 1


def points(rows: Iterable[dict], harms: Iterable[str] = HARMS) -> list[Point]:
    """The points of a sweep's rows (``Choice.sweep``): the worst of the named drops that there are.

    A gain elsewhere is no merit.
    """
    names = tuple(harms)
    return [
        Point(max(0.0, *(row[name] or 0.0 for name in names)), remains(row["forget_choice"], row["forget_cloze"]))
        for row in rows
    ]


def remains(choice: float, cloze: float) -> float:
    """What is left of the target: the mean of cloze and of choice above chance, 0-1.

    Choice below chance is not better than at chance: an answer that is avoided is told too.
    """
    return (max(0.0, choice - CHANCE) / (1 - CHANCE) + cloze) / 2


def front(found: Iterable[Point]) -> list[Point]:
    """The Pareto front by rising harm, from the untouched model (0, 1) on; each point leaves less than those before."""
    kept = [Point(0.0, 1.0)]
    for point in sorted(found):
        if point.remains < kept[-1].remains:
            kept = [p for p in kept if p.harm < point.harm] + [point]
    return kept


def area(found: Iterable[Point], most_harm: float = MOST_HARM) -> float:
    """Mean of the curve over harms from 0 to ``most_harm``, 0-1; less is better."""
    stairs = [point for point in front(found) if point.harm <= most_harm]
    ends = [point.harm for point in stairs[1:]] + [most_harm]
    return sum(point.remains * (end - point.harm) for point, end in zip(stairs, ends, strict=True)) / most_harm
