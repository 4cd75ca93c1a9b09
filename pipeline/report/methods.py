"""What every method and every family of figures is, in words, and what a method's forgetting is worth."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pipeline.unlearning.methods import METHODS

Kind = Literal["reference", "clamp", "guard", "weights", "control"]

# What no run asks for by a method's name: the model before any edit, and what studies measure beside the methods.
REFERENCES: dict[str, tuple[Kind, str]] = {
    "none": ("reference", "the model as it is"),
    "never_taught": ("control", "a model that never saw the target: what perfect forgetting would look like"),
    "random_dictionary": ("control", "subtree on a dictionary of random directions"),
}
KINDS: dict[str, Kind] = {name: kind for name, (kind, _) in REFERENCES.items()} | {
    name: method.kind for name, method in METHODS.items()
}
WHAT = {name: what for name, (_, what) in REFERENCES.items()} | {name: it.what for name, it in METHODS.items()}

CATEGORY: dict[Kind, str] = {
    "reference": "before any edit",
    "clamp": "clamps (act at inference)",
    "guard": "guards (block, do not erase)",
    "weights": "weight edits (persistent)",
    "control": "controls",
}

THREAT: dict[Kind, str] = {
    "reference": "",
    "clamp": "Acts at inference: it blocks, it does not erase. Whoever can remove the hook has the knowledge back.",
    "guard": "Guards block, they do not erase: a detector decides when to edit, and without the hook, or in text "
    "that the detector misses, the knowledge is there.",
    "weights": "Changes the weights; needs no hook. Fine-tuning on a little related text may bring the knowledge back.",
    "control": "A control: a method owes its result to its idea only where it beats this one.",
}


# The entries of final_info.json that come in families: prefix of the keys -> title, and what to know of the figures.
FAMILIES = {
    "relearning": (
        "Relearning: does it come back?",
        "The edited model is fine-tuned on half of the target's facts (or on its siblings', or on general text) for so "
        "many steps; the figure is cloze on the other half. Low is good.",
    ),
    "few_shot": (
        "Few shots: does naming some entities forget their topic?",
        "Only so many entities of the topic are given; `unseen` are the others of the same topic. Low is good.",
    ),
    "scope": (
        "Scope: which documents belong to the target?",
        "A retriever completes the forget set from a few documents; precision over the pool, 1 is perfect.",
    ),
}


def kind_of(method: str) -> Kind:
    """A method that this page does not know acts like a clamp: nothing is promised of it."""
    return KINDS.get(method, "clamp")


def in_order(methods: Sequence[str]) -> list[str]:
    """Category by category, as in the tables; a method that this page does not know comes last in its own."""
    kinds, known = list(CATEGORY), list(KINDS)
    return sorted(
        methods,
        key=lambda name: (kinds.index(kind_of(name)), known.index(name) if name in KINDS else len(known), name),
    )


def absent(methods: Sequence[str], level: str, unlearning: Mapping[str, Any]) -> dict[str, str]:
    """Why the methods known here are not among the measured ``methods`` of a level.

    ``unlearning`` is that section of the run's params.
    """
    of_level = {*unlearning.get("methods", []), *unlearning.get("more_methods", {}).get(level, [])}
    return {name: _why(name, level, of_level) for name in KINDS if name not in methods}


def _why(name: str, level: str, asked: Collection[str]) -> str:
    if name in asked:
        return f"asked for in params.yaml, but it left no edit of a {level}"
    if name in METHODS:
        return f"this run does not ask for it at level {level} (`unlearning` in params.yaml)"
    return "no run asks for it: `python -m studies.world` makes the model or dictionary that it needs"
