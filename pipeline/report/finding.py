"""The first screen: what was forgotten in one sentence, the best method of each kind, and text before and after."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.corpus.settings import CHANCE
from pipeline.report.evidence import Evidence
from pipeline.report.methods import WHAT, kind_of
from pipeline.report.verdict import CANDIDATES, Verdict, chosen_methods, verdict

PERSISTENT = {"weights": "yes: the weights are changed", "guard": "no: it blocks", "clamp": "no: it acts at inference"}
# What the table of the first screen has after the target: final_info's name and its head.
DAMAGE = {"sibling_drop": "siblings lose", "other_drop": "others lose", "general_drop": "general text loses"}
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


def main_level(evidence: Evidence) -> str:
    """The target on which most methods were tried, the finer one of equals: the page begins with it."""
    return max(evidence.levels(), key=lambda level: (len(evidence.methods(level)), evidence.levels().index(level)))


def order(evidence: Evidence) -> list[str]:
    """The levels as the page has them: the main one, then the others from the coarsest."""
    main = main_level(evidence)
    return [main, *(level for level in evidence.levels() if level != main)]


def outcomes(evidence: Evidence, level: str) -> list[Outcome]:
    """The best of each kind on dev, the best first, then the tree's own clamp; their figures are of test."""
    return [_outcome(evidence, level, method, role) for method, role in chosen_methods(evidence, level).items()]


def _outcome(evidence: Evidence, level: str, method: str, role: str) -> Outcome:
    key, none = f"unlearning/{method}/{level}", f"unlearning/none/{level}"
    judged = verdict(evidence.means(key), evidence.stderrs(key), evidence.means(none), evidence.stderrs(none))
    choice, cloze = (evidence.written(key, name, 0, 100) or "" for name in ("forget_mcq", "forget_cloze"))
    damage = [evidence.written(key, name, 1) for name in DAMAGE]
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


def headline(evidence: Evidence, level: str) -> str | None:
    """The method that the sentence is about: the best persistent edit, where there is none the first shown."""
    chosen = list(chosen_methods(evidence, level))
    return next((name for name in chosen if kind_of(name) == "weights"), chosen[0] if chosen else None)


def finding(evidence: Evidence, level: str) -> str:
    """One sentence: what that method did to the target and to the rest."""
    method = headline(evidence, level)
    if method is None:
        return f"No edit was made of the {level} {evidence.target(level)}."
    key, none = f"unlearning/{method}/{level}", f"unlearning/none/{level}"
    means, before = evidence.means(key), evidence.means(none)
    if verdict(means, evidence.stderrs(key), before, evidence.stderrs(none)).forgot.startswith("not judged"):
        return f"Nothing can be said of the {level} {evidence.target(level)}: the model hardly knew it before any edit."
    return (
        f"{method}, {CANDIDATES[kind_of(method)].role}, takes the {level} {evidence.target(level)} from "
        f"{before['forget_mcq']:.0%} to {means['forget_mcq']:.0%} multiple-choice accuracy (chance is {CHANCE:.0%})"
        f"{_losses(means, level)}."
    )


def _losses(means: Mapping[str, float], level: str) -> str:
    """``; sibling topics lose 2.8 points, other topics 0.8`` for what was measured."""
    who = {"sibling_drop": f"sibling {plural(level)}", "other_drop": f"other {plural(level)}"}
    lost = [(words, means[name]) for name, words in who.items() if name in means]
    said = [
        f"{words}{'' if k else ' lose'} {points:.1f}{'' if k else ' points'}" for k, (words, points) in enumerate(lost)
    ]
    return f"; {', '.join(said)}" if said else ""


def plural(level: str) -> str:
    """More than one node of a level.

    >>> plural("entity"), plural("topic")
    ('entities', 'topics')
    """
    return f"{level[:-1]}ies" if level.endswith("y") else f"{level}s"


def first_screen(evidence: Evidence) -> dict[str, Any]:
    """What the page begins with: the main target's finding, and every target with its outcomes and passages."""
    return {
        "finding": finding(evidence, main_level(evidence)),
        "targets": [
            {
                "level": level,
                "plural": plural(level),
                "target": evidence.target(level),
                "name": evidence.target(level).rsplit(" / ", 1)[-1],
                "finding": finding(evidence, level),
                "before": evidence.means(f"unlearning/none/{level}"),
                "outcomes": outcomes(evidence, level),
                "damage": list(DAMAGE.values()),
                "passages": passages(evidence, level),
            }
            for level in order(evidence)
        ],
    }
