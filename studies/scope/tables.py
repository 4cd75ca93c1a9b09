"""The table of this study, from results/."""

from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

from studies.markdown import grouped, table


def retrievers(found: dict[str, Any]) -> str:
    """Mean average precision, paired differences with 95 % intervals over topics, and the borders' precision."""
    by_name = grouped(found["rows"], "retriever")
    ranked = {name: topic_means([row["average_precision"] for row in rows]) for name, rows in by_name.items()}
    beside = ("flat", "shuffled_tree", "residual")
    lines = []
    for name, rows in by_name.items():
        minus = [difference(ranked[name], ranked[other]) if name != other else "" for other in beside]
        levels = ("entity", "topic", "domain")
        borders = [f"{mean(v for row in rows for v in row[f'border_precision_{level}']):.2f}" for level in levels]
        lines.append([f"`{name}`", f"{mean(ranked[name]):.3f}", *minus, *borders])
    head = ["retriever", "average precision", *(f"minus `{name}`" for name in beside), "entity", "topic", "domain"]
    return table(head, lines)


def topic_means(seeds: list[list[float]], draws: int = 3) -> list[float]:
    """Means over the draws of each topic; a seed's values are listed draw by draw."""
    return [mean(values[t :: len(values) // draws]) for values in seeds for t in range(len(values) // draws)]


def difference(ours: list[float], theirs: list[float]) -> str:
    """Mean of the paired differences and half its 95 % interval."""
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    return f"{mean(gains):+.3f} ± {1.96 * stdev(gains) / len(gains) ** 0.5:.3f}"


# Table -> the result that it is made from, and how.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"retrievers": ("retrievers", retrievers)}
