"""The first screen: what was forgotten in one sentence, the best method of each kind, and text before and after."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.corpus.settings import CHANCE
from pipeline.report.evidence import Evidence, Figures
from pipeline.report.methods import WHAT, kind_of
from pipeline.report.verdict import CANDIDATES, Verdict, chosen_methods, lost_word, verdict

PERSISTENT = {"weights": "yes: the weights are changed", "guard": "no: it blocks", "clamp": "no: it acts at inference"}
# What the table of the first screen has after the target: final_info's name and its head.
DAMAGE = {"sibling_drop": "siblings lose", "other_drop": "others lose", "general_drop": "general facts lose"}
_SHOWN = {"forget": "the target", "sibling": "a sibling", "general": "general text"}


class Outcome(NamedTuple):
    """The best method of one kind on one target; ``damage`` has None for what was not measured."""

    method: str
    kind: str
    role: str  # why it is shown
    what: str
    choice: str
    cloze: str
    damage: list[str | None]
    persistent: str
    verdict: Verdict


class Passage(NamedTuple):
    """One prompt with its right end, before any edit and under each shown method."""

    about: str
    prompt: str
    answer: str
    before: str
    after: list[tuple[str, str]]


def main_level(figures: Figures) -> str:
    """The target on which most methods were tried, the finer one of equals: the page begins with it."""
    return max(figures.levels(), key=lambda level: (len(figures.methods(level)), figures.levels().index(level)))


def order(figures: Figures) -> list[str]:
    """The levels as the page has them: the main one, then the others from the coarsest."""
    main = main_level(figures)
    return [main, *(level for level in figures.levels() if level != main)]


def outcomes(figures: Figures, level: str) -> list[Outcome]:
    """The best of each kind on dev, the best first, then the tree's own clamp; their figures are of test."""
    return [_outcome(figures, level, method, role) for method, role in chosen_methods(figures, level).items()]


def _outcome(figures: Figures, level: str, method: str, role: str) -> Outcome:
    key, none = f"unlearning/{method}/{level}", f"unlearning/none/{level}"
    judged = verdict(figures.means(key), figures.stderrs(key), figures.means(none), figures.stderrs(none))
    choice, cloze = (figures.written(key, name, 0, 100) or "" for name in ("forget_mcq", "forget_cloze"))
    damage = [figures.written(key, name, 1) for name in DAMAGE]
    kind = kind_of(method)
    return Outcome(method, kind, role, WHAT.get(method, ""), choice, cloze, damage, PERSISTENT.get(kind, ""), judged)


def passages(evidence: Evidence, level: str) -> list[Passage]:
    """The first prompt about the target, about a sibling and of general text, with the shown methods' ends."""
    methods, found = list(chosen_methods(evidence, level)), {}
    for row in evidence.completions.get(level, {}).get("prompts", []):
        after = [(method, row["after"][method]) for method in methods if method in row["after"]]
        about = _SHOWN[row["relation"]]
        found.setdefault(about, Passage(about, row["prompt"], row["answer"], row["before"], after))
    return list(found.values())


def headline(figures: Figures, level: str) -> str | None:
    """The method that the sentence is about: the best persistent edit, where there is none the first shown."""
    chosen = list(chosen_methods(figures, level))
    return next((name for name in chosen if kind_of(name) == "weights"), chosen[0] if chosen else None)


def finding(figures: Figures, level: str) -> str:
    """What that method did to the target and to the rest; where it did not forget and another did, that one too."""
    method = headline(figures, level)
    if method is None:
        known = [method for method in figures.methods(level) if kind_of(method) in CANDIDATES]
        why = "this run kept nothing of the dev sweep" if known else "no edit was made"
        return f"Of the {level} {figures.target(level)} no method can be named the best: {why}."
    key, none = f"unlearning/{method}/{level}", f"unlearning/none/{level}"
    means, before = figures.means(key), figures.means(none)
    if verdict(means, figures.stderrs(key), before, figures.stderrs(none)).forgot.startswith("not judged"):
        return f"Nothing can be said of the {level} {figures.target(level)}: the model hardly knew it before any edit."
    return (
        f"{method}, {CANDIDATES[kind_of(method)].role}, takes the {level} {figures.target(level)} from "
        f"{before['forget_mcq']:.0%} to {means['forget_mcq']:.0%} multiple-choice accuracy (chance is {CHANCE:.0%})"
        f"{_losses(means, level)}{lost_word(means, before)}.{_refits(figures, level, method)}"
        f"{_rival(figures, level, method)}"
    )


def _refits(figures: Figures, level: str, method: str) -> str:
    """A sentence on how far other fits of the method lie apart: no smaller difference says anything."""
    known = figures.refits(level).get(method)
    if known is None:
        return ""
    low, high = known["forget_mcq"]
    lost = [(words, *known[name]) for name, words in _who(level).items() if name in known]
    losses = ", ".join(f"{words} lost {least:.1f} to {most:.1f} points" for words, least, most in lost)
    return (
        f" On other {plural(level)} and in other worlds nine of ten of {known['fits']} fits left {low:.0%} to "
        f"{high:.0%}; {losses}. Smaller differences mean nothing."
    )


def _rival(figures: Figures, level: str, method: str) -> str:
    """A sentence on the best method of another kind that forgot, where the first one did not."""
    shown = {outcome.method: outcome for outcome in outcomes(figures, level)}
    if shown[method].verdict.forgot.startswith("forgotten"):
        return ""
    forgot = (name for name in shown if shown[name].verdict.forgot.startswith("forgotten"))
    name = next(forgot, None)
    if name is None:
        return ""
    means, worth = figures.means(f"unlearning/{name}/{level}"), CANDIDATES[kind_of(name)].worth
    losses, word = _losses(means, level), lost_word(means, figures.means(f"unlearning/none/{level}"))
    return f" {name}, {shown[name].role}, {worth}, leaves {means['forget_mcq']:.0%}{losses}{word}."


def _losses(means: Mapping[str, float], level: str) -> str:
    """``; sibling topics lose 2.8 points, other topics 0.8`` for what was measured."""
    lost = [(words, means[name]) for name, words in _who(level).items() if name in means]
    said = [f"{words} {loses(points)}" for words, points in lost]
    if len(lost) > 1 and all(round(points, 1) > 0 for _, points in lost):
        said[1] = f"{lost[1][0]} {lost[1][1]:.1f}"
    return f"; {', '.join(said)}" if said else ""


def loses(points: float) -> str:
    """A loss in words; less than none is a gain.

    >>> loses(2.81), loses(-0.4), loses(-0.04)
    ('lose 2.8 points', 'gain 0.4 points', 'lose nothing')
    """
    if not round(points, 1):
        return "lose nothing"
    return f"{'lose' if points > 0 else 'gain'} {abs(points):.1f} points"


def _who(level: str) -> dict[str, str]:
    return {"sibling_drop": f"sibling {plural(level)}", "other_drop": f"other {plural(level)}"}


def plural(level: str) -> str:
    """More than one node of a level.

    >>> plural("entity"), plural("topic")
    ('entities', 'topics')
    """
    return f"{level[:-1]}ies" if level.endswith("y") else f"{level}s"


def first_screen(evidence: Evidence) -> dict[str, Any]:
    """What the page begins with: the main target's finding, and every target with its outcomes and passages."""
    screens = [target_screen(evidence, level) for level in order(evidence)]
    shown = [screen | {"passages": passages(evidence, screen["level"])} for screen in screens]
    return {"finding": shown[0]["finding"], "targets": shown}


def target_screen(figures: Figures, level: str) -> dict[str, Any]:
    """One target: its names, the finding, the best of each kind."""
    return {
        "level": level,
        "target": figures.target(level),
        "name": figures.target(level).rsplit(" / ", 1)[-1],
        "finding": finding(figures, level),
        "before": figures.means(f"unlearning/none/{level}"),
        "outcomes": outcomes(figures, level),
        "damage": list(DAMAGE.values()),
        "passages": [],
    }
