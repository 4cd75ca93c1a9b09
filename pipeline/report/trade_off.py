"""The data of the interactive picture: every method's figures on one target, and its candidates on dev.

Shares are given in percent and losses in points, each with half its 95 % interval; null is what was not measured.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.corpus.settings import CHANCE
from pipeline.report.evidence import INTERVAL, Figures
from pipeline.report.finding import headline, plural
from pipeline.report.methods import CATEGORY, WHAT, Kind, in_order, kind_of
from pipeline.report.verdict import chosen_methods

# What is asked of the target: the name in final_info.json, that of the sweep, and the words on the axis.
ASKED = {
    "forget_mcq": ("forget_choice", "multiple-choice accuracy on the target, %"),
    "forget_cloze": ("forget_cloze", "facts of the target still completed, %"),
}
# By kind the outline of its mark, 12 units wide around 0: with its colour each differs in shape, so that grey will do.
MARKS: dict[Kind, str] = {
    "reference": "M-6 -6L6 6M-6 6L6 -6",
    "clamp": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z",
    "guard": "M-5.5 -5.5H5.5V5.5H-5.5Z",
    "weights": "M0 -7L6.5 5H-6.5Z",
    "control": "M0 -7L7 0L0 7L-7 0Z",
}
LOSSES = ("sibling_drop", "other_drop", "general_drop")
MOST_CANDIDATES = 40  # of a method; a longer sweep is thinned


def trade_off(figures: Figures, level: str) -> dict[str, Any]:
    """What trade_off.js draws of one target."""
    measured = {name for method in figures.methods(level) for name in figures.means(f"unlearning/{method}/{level}")}
    losses = [name for name in LOSSES if name in measured]
    best = chosen_methods(figures, level)
    return {
        "level": level,
        "shown": headline(figures, level),
        "chance": 100 * CHANCE,
        "asked": [words for _, words in ASKED.values()],
        "losses": [_loss_words(name, level) for name in losses],
        "kinds": CATEGORY,
        "marks": MARKS,
        "methods": [_method(figures, level, name, losses, best) for name in in_order(figures.methods(level))],
    }


def _loss_words(name: str, level: str) -> str:
    who = {"sibling_drop": f"sibling {plural(level)}", "other_drop": f"other {plural(level)}"}
    return f"{who.get(name, 'general text')} lose{'' if name in who else 's'}, points"


def _method(figures: Figures, level: str, name: str, losses: list[str], best: Mapping[str, str]) -> dict[str, Any]:
    key = f"unlearning/{name}/{level}"
    means, stderrs = figures.means(key), figures.stderrs(key)

    def figure(of: str, scale: float) -> list[float] | None:
        if of not in means:
            return None
        return [round(scale * means[of], 2), round(scale * INTERVAL * stderrs.get(of, 0.0), 2)]

    return {
        "name": name,
        "kind": kind_of(name),
        "what": WHAT.get(name, ""),
        "role": best.get(name, ""),
        "setting": _setting(figures.setting(name, level)),
        "asked": [figure(of, 100) for of in ASKED],
        "lost": [figure(of, 1) for of in losses],
        "tried": _tried(figures.candidates(name, level), losses),
    }


def _setting(setting: Mapping[str, Any]) -> str:
    """The setting that dev chose, in words: ``multiplier 1, latents 40``."""
    return ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in setting.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tried(candidates: list[dict[str, Any]], losses: list[str]) -> list[list[float | None]]:
    """Every candidate on dev: what was asked in percent, then the losses in points."""
    step = -(-len(candidates) // MOST_CANDIDATES) or 1
    names = [of for of, _ in ASKED.values()]
    return [
        [*(round(100 * row[of], 1) for of in names), *(_rounded(row.get(of)) for of in losses)]
        for row in candidates[::step]
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
