"""The tables of the study, from docs/study/*.json: means over cells, paired differences with bootstrap intervals.

A cell is one target of one seed. Intervals are 95 % percentile intervals over 2,000 draws of cells with replacement.
"""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

import numpy as np

Row = dict
COLUMNS = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop", "perplexity_ratio")
CELL = ("seed", "level", "node")


def forgetting(rows: list[Row], level: str) -> str:
    """Medians per method over the cells of one level, and the share of cells that meet the whole bar."""
    by_name = grouped(row for row in rows if row["level"] == level)
    measured = [name for name in COLUMNS if any(name in row["means"] for row in rows if row["level"] == level)]
    lines = []
    for method, cells in by_name.items():
        figures = [spread([c["means"][name] for c in cells], 3 if name in UNITS else 1) for name in measured]
        met = sum(meets_the_bar(cell["means"]) for cell in cells)
        lines.append([f"`{method}`", str(len(cells)), *figures, f"{met}/{len(cells)}"])
    return table(["method", "cells", *(name.replace("_", " ") for name in measured), "meet the bar"], lines)


UNITS = {"area", "area_worst", "forget_mcq", "forget_cloze", "perplexity_ratio", "unseen_mcq", "unseen_cloze"}


def meets_the_bar(means: dict[str, float]) -> bool:
    """Multiple choice at chance (20 to 30 %), cloze 5 % at most, harm 3 points at most, perplexity 1 % at most."""
    harms = [means.get(name, 0.0) for name in ("sibling_drop", "other_drop")]
    at_chance = 0.2 <= means["forget_mcq"] <= 0.3 and means["forget_cloze"] <= 0.05
    return at_chance and max(harms) <= 3 and means["perplexity_ratio"] <= 1.01


def paired(rows: list[Row], pairs: Iterable[tuple[str, str]], columns: Iterable[str], level: str = "topic") -> str:
    """Mean difference of two methods on the same cells, with its interval."""
    by_name = {
        name: {tuple(cell[key] for key in CELL): cell["means"] for cell in cells}
        for name, cells in grouped(row for row in rows if row["level"] == level).items()
    }
    lines = []
    for first, second in pairs:
        shared = sorted(by_name.get(first, {}).keys() & by_name.get(second, {}).keys())
        if len(shared) < 2:
            continue
        differences = {
            column: [by_name[first][c][column] - by_name[second][c][column] for c in shared] for column in columns
        }
        texts = [interval(values, 3 if column in UNITS else 1) for column, values in differences.items()]
        lines.append([f"`{first}` - `{second}`", str(len(shared)), *texts])
    return table(["difference", "cells", *(column.replace("_", " ") for column in columns)], lines)


def few_shot(rows: list[Row]) -> str:
    """Mean per arm over cells: unlabelled entities of the target, of its siblings, of the other topics."""
    columns = ("unseen_mcq", "unseen_cloze", "sibling_drop", "other_drop")
    lines = []
    for arm, cells in grouped(rows).items():
        figures = [mean(cells, column, 3 if column in UNITS else 1) for column in columns]
        lines.append([f"`{arm}`", str(len(cells)), *figures])
    return table(["arm", "cells", *(column.replace("_", " ") for column in columns)], lines)


def relearning(rows: list[Row]) -> str:
    """Mean cloze (and multiple choice) of the half that was not taught again."""
    courses = ("half_0", "half_10", "half_30", "half_100", "sibling_50", "general_50")
    lines = []
    for method, cells in grouped(rows).items():
        figures = [
            f"{np.mean([c['means'][f'cloze_{course}'] for c in cells]):.2f} / "
            f"{np.mean([c['means'][f'mcq_{course}'] for c in cells]):.2f}"
            for course in courses
        ]
        lines.append([f"`{method}`", str(len(cells)), *figures])
    head = ["before", *(f"half, {n} steps" for n in (10, 30, 100)), "siblings, 50", "general, 50"]
    return table(["method", "cells", *head], lines)


def curves(rows: list[Row]) -> str:
    """Mean area under the forget-damage curve of a method's whole sweep, 0 to 1; less is better."""
    columns = ("area", "area_worst")
    lines = [
        [f"`{name}`", str(len(cells)), *(mean(cells, c, 3) for c in columns)] for name, cells in grouped(rows).items()
    ]
    return table(["method", "cells", "siblings alone", "worst of siblings, others, general"], lines)


def grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Cells by method or arm, in the order of first appearance."""
    found = defaultdict(list)
    for row in rows:
        found[row["name"]].append(row)
    return dict(found)


def spread(values: list[float], digits: int) -> str:
    """Median (lower to upper quartile)."""
    low, high = np.percentile(values, [25, 75])
    return f"{median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def mean(cells: list[Row], column: str, digits: int) -> str:
    """Mean over cells with its standard error."""
    values = [cell["means"][column] for cell in cells]
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def interval(values: list[float], digits: int) -> str:
    """Mean with the bootstrap interval over cells."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{np.mean(values):+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


HARM = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop")
TABLES = {
    "study_topic": lambda rows: forgetting(rows, "topic"),
    "study_pairs": lambda rows: paired(
        rows,
        [
            ("group_adapter", "npo"),
            ("group_adapter", "grad_diff"),
            ("group_adapter", "group_adapter_flat"),
            ("group_adapter", "group_adapter_random"),
            ("grad_diff", "npo"),
            ("subtree", "flat_frequency"),
        ],
        HARM,
    ),
    "study_few_shot": few_shot,
    "study_relearning": relearning,
    "study_curves": curves,
    "study_curve_pairs": lambda rows: paired(
        rows,
        [("subtree", "shuffled_tree"), ("subtree", "flat_log_odds"), ("subtree", "flat_frequency")],
        ("area", "area_worst"),
    ),
}
KINDS = dict.fromkeys(("study_topic", "study_pairs"), "forgetting")
KINDS |= {"study_curves": "curve", "study_curve_pairs": "curve"}
KINDS |= {"study_few_shot": "few_shot", "study_relearning": "relearning"}
