"""What happened, in words a reader need not compute."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.corpus.settings import CHANCE
from pipeline.report.evidence import CLAMPED, INTERVAL, Figures
from pipeline.report.methods import kind_of

GONE = 0.10  # cloze
# Of multiple choice, above chance: the whole interval must lie on one side before a verdict says so.
RECOGNISED, AT_CHANCE = 0.05, 0.20
FEW = 0.15  # half an interval of multiple choice that says little
WORD_LOST = 0.2  # of copying: a name that the model no longer repeats where the question says it
UNHARMED, HEAVY = 2.0, 10.0  # points lost
_HARMED = {
    "sibling_drop": "its siblings",
    "other_drop": "other knowledge",
    "general_drop": "general knowledge",
}


class Verdict(NamedTuple):
    """``forgot`` and ``broke`` complete "the target is ..." and "..."."""

    forgot: str
    broke: str


Numbers = Mapping[str, float]


def verdict(means: Numbers, stderrs: Numbers, before: Numbers, before_stderrs: Numbers) -> Verdict:
    """Judge one method on one target by its test figures; the thresholds are the constants above."""
    return Verdict(_forgot(means, stderrs, before, before_stderrs) + lost_word(means, before), _broke(means))


def _forgot(means: Numbers, stderrs: Numbers, before: Numbers, before_stderrs: Numbers) -> str:
    """Nothing is forgotten that was not known; and no verdict is finer than the interval that it rests on."""
    if before["forget_mcq"] - INTERVAL * before_stderrs.get("forget_mcq", 0.0) <= CHANCE:
        return "not judged: the unedited model's answers about it are not clear of chance"
    cloze, choice = means["forget_cloze"], means["forget_mcq"]
    interval = INTERVAL * stderrs.get("forget_mcq", 0.0)
    if cloze <= GONE and choice + interval < CHANCE:  # few probes fall below chance by accident
        return "pushed below chance (right answers are avoided, which gives them away)"
    if cloze <= GONE and choice - interval > CHANCE + RECOGNISED:
        return "no longer completed, but still recognised among options"
    if cloze <= GONE and choice + interval <= CHANCE + AT_CHANCE:
        return "forgotten" + (" (but the probes are few)" if interval > FEW else "")
    if cloze <= GONE:
        return "no longer completed; its probes are too few to tell whether it is still recognised among options"
    if cloze <= before["forget_cloze"] / 2:
        return "partly forgotten"
    return "still known"


def lost_word(means: Numbers, before: Numbers) -> str:
    """What to add where the target's name went with the facts; nothing where copying was not asked or is left."""
    was, now = before.get("forget_copying_mcq", 0.0), means.get("forget_copying_mcq", 1.0)
    if was - now <= WORD_LOST + 1e-9:
        return ""
    word = "went" if now <= was / 2 else "suffered"
    return f"; the word {word} too: it repeats the name in {now:.0%} of the sentences that say it, {was:.0%} before"


def _broke(means: Mapping[str, float]) -> str:
    harmed = {words: means[name] for name, words in _HARMED.items() if name in means}
    if not harmed:
        return "damage was not measured"
    heavy = [f"{words} ({drop:.1f} points)" for words, drop in harmed.items() if drop >= HEAVY]
    some = [f"{words} ({drop:.1f} points)" for words, drop in harmed.items() if UNHARMED <= drop < HEAVY]
    if heavy:
        return f"heavy damage to {_and(heavy)}" + (f", some to {_and(some)}" if some else "")
    return f"some damage to {_and(some)}" if some else "hardly any damage"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


class Role(NamedTuple):
    """``role``: a kind's place on the first screen; ``worth``: what its forgetting is worth, in half a sentence."""

    role: str
    worth: str


# Kinds that the first screen may speak of.
CANDIDATES = {
    "guard": Role("the best guard", "which blocks and does not erase"),
    "weights": Role("the best weight edit", "which changes the weights"),
    "clamp": Role("the best clamp", "which acts at inference only"),
}
TREES_OWN = "the tree's own clamp"


def chosen_methods(figures: Figures, level: str) -> dict[str, str]:
    """What the first screen shows, and as what: the lowest dev objective of each kind, in order of kinds; ``subtree``.

    The choice sees the dev split only; controls and references are not candidates.
    """
    tried = {
        method: min(row["objective"] for row in candidates)
        for method in figures.methods(level)
        if kind_of(method) in CANDIDATES and (candidates := figures.candidates(method, level))
    }
    best: dict[str, str] = {}
    for kind, (role, _) in CANDIDATES.items():
        of_kind = [method for method in tried if kind_of(method) == kind]
        if of_kind:
            best[min(of_kind, key=lambda method: tried[method])] = role
    if CLAMPED in tried:
        best[CLAMPED] = f"{best[CLAMPED]}, {TREES_OWN}" if CLAMPED in best else TREES_OWN
    return best
