"""The tables of 16 countries: what edits left of each, what they cost, and whether that is what one would want."""

from typing import Any

import numpy as np

from pipeline.corpus.settings import CHANCE
from studies.markdown import grouped, median_interval, table

# Of a cell: the target's share, what others lose in points, the ratio of perplexities.
LEFT = {"forget_known_mcq": "target", "forget_named_mcq": "named", "forget_otherwise_mcq": "otherwise"}
LOST = {
    "forget_copying_mcq": "copying loses",
    "sibling_known_mcq": "siblings lose",
    "other_known_mcq": "others lose",
    "general_known_mcq": "general loses",
}
# What one would want: the target near chance (0.25; far below it is a leak), the word, the rest and the text kept.
LEAST_LEFT, MOST_LEFT, WORD, REST, TEXT = 0.15, 0.32, 10.0, 3.0, 1.01


def countries(found: dict[str, Any]) -> str:
    """Medians over countries with intervals, how many countries meet all bars, and those of concept erasure."""
    before = {row["target"]: row["means"] for row in found["rows"] if row["method"] == "none"}
    lines = []
    for method, rows in grouped(found["rows"], "method").items():
        cells = [(row["means"], before[row["target"]]) for row in rows]
        left = [[means[name] for means, _ in cells if name in means] for name in LEFT]
        lost = [[points_lost(name, *cell) for cell in cells if name in cell[1]] for name in LOST]
        erased = zip(*(erasure(*cell) for cell in cells), strict=True)
        lines.append(
            [f"`{method}`", str(len(cells)), *(median_interval(values, 2) for values in left)]
            + [median_interval(values, 1) for values in lost]
            + [median_interval([means["perplexity_ratio"] for means, _ in cells], 3)]
            + [f"{sum(meets(*cell) for cell in cells)}/{len(cells)}"]
            + [f"{np.median(values):.2f}" for values in erased]
        )
    head = ["method", "countries", *LEFT.values(), *LOST.values(), "perplexity ratio", "meet the bar"]
    return table([*head, "efficacy", "specificity", "harmonic mean"], lines)


def by_country(found: dict[str, Any]) -> str:
    """What NPO left of each country and cost beside it."""
    before = {row["target"]: row["means"] for row in found["rows"] if row["method"] == "none"}
    lines = []
    for row in found["rows"]:
        if row["method"] == "npo":
            means, was = row["means"], before[row["target"]]
            kept = [f"{means[name]:.2f}" if name in means else "-" for name in LEFT]
            lost = [f"{points_lost(name, means, was):.1f}" for name in LOST]
            perplexity, strength = f"{means['perplexity_ratio']:.3f}", f"{row['settings']['strength']:g}"
            lines.append([row["target"], f"{was['forget_known_mcq']:.2f}", *kept, *lost, perplexity, strength])
    return table(["country", "before", *LEFT.values(), *LOST.values(), "perplexity ratio", "strength"], lines)


def points_lost(name: str, means: dict[str, float], before: dict[str, float]) -> float:
    """Before minus after, in points."""
    return 100 * (before[name] - means[name])


def meets(means: dict[str, float], before: dict[str, float]) -> bool:
    """Whether an edit is what a person would want."""
    rest = max(points_lost(name, means, before) for name in ("sibling_known_mcq", "other_known_mcq"))
    word = points_lost("forget_copying_mcq", means, before)
    forgotten = LEAST_LEFT <= means["forget_known_mcq"] <= MOST_LEFT
    return forgotten and word <= WORD and rest <= REST and means["perplexity_ratio"] <= TEXT


def erasure(means: dict[str, float], before: dict[str, float]) -> tuple[float, float, float]:
    """Efficacy, specificity and their harmonic mean with what is kept of general knowledge, as for concept erasure.

    Efficacy: the share lost of what is above chance on the target. Specificity and general: the share kept of it on
    siblings and on general facts (PISCES, Gur-Arieh et al. 2025, arXiv 2505.22586).
    """
    kept = [
        min(1.0, max(0.0, (means[name] - CHANCE) / (before[name] - CHANCE)))
        for name in ("forget_known_mcq", "sibling_known_mcq", "general_known_mcq")
    ]
    efficacy, specificity, general = 1 - kept[0], kept[1], kept[2]
    shares = [efficacy, specificity, general]
    return efficacy, specificity, len(shares) / sum(1 / share for share in shares) if min(shares) > 0 else 0.0
