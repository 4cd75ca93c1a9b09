"""What every method is, in words, and what its forgetting is worth."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pipeline.unlearning.settings import METHODS as ASKABLE

Kind = Literal["reference", "clamp", "guard", "weights", "control"]


class Method(NamedTuple):
    kind: Kind
    what: str


# In the order of the tables.
METHODS: dict[str, Method] = {
    "none": Method("reference", "the model as it is"),
    "subtree": Method("clamp", "the best disjoint nodes of the dendrogram, from any level, clamped"),
    "subtree_ablated": Method("clamp", "subtree, less the groups that the dev split does better without"),
    "level_cut": Method("clamp", "whole groups of one cut of the dendrogram, clamped"),
    "gates_tree": Method("clamp", "learned gates on nodes of the dendrogram, single latents among them"),
    "flat_frequency": Method("clamp", "the latents that fire most on the target and rarely elsewhere (Farrell 2024)"),
    "flat_log_odds": Method("clamp", "the latents with the highest log-odds on the target"),
    "flat_importance": Method("clamp", "the latents with the highest ratio of squared activation (DSG 2025)"),
    "flat_difference": Method("clamp", "the latents with the largest difference of rates and ratio (CRISP 2025)"),
    "flat_worth": Method("clamp", "the latents of the highest worth: the score of subtree without its tree"),
    "flat_ablated": Method("clamp", "flat_worth, less the latents that the dev split does better without"),
    "gates_flat": Method("clamp", "learned gates on single latents"),
    "guard_flat": Method("guard", "a detector over latents decides where the clamp acts"),
    "guard_tree": Method("guard", "a detector over groups decides where the clamp acts"),
    "fixed_vector": Method("guard", "a fixed vector is added where the same detector fires; no dictionary"),
    "grad_diff": Method("weights", "gradient ascent on the target, descent on what must stay"),
    "grad_ascent": Method("weights", "gradient ascent on the target"),
    "npo": Method("weights", "negative preference optimisation"),
    "npo_attacked": Method("weights", "NPO while an attacker relearns"),
    "rmu": Method("weights", "representation misdirection"),
    "group_adapter": Method("weights", "a persistent adapter guided by the groups"),
    "scope_npo": Method("weights", "NPO on a forget set completed by the tree"),
    "never_taught": Method("control", "a model that never saw the target: what perfect forgetting would look like"),
    "random_groups": Method("control", "random latents, as many and as active as those of subtree"),
    "shuffled_tree": Method("control", "subtree on a tree with shuffled leaves"),
    "random_dictionary": Method("control", "subtree on a dictionary of random directions"),
}

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
    "control": "A control: what it forgets and breaks, any edit of that size would.",
}


def kind_of(method: str) -> Kind:
    """A method that this page does not know acts like a clamp: nothing is promised of it."""
    return METHODS[method].kind if method in METHODS else "clamp"


def in_order(methods: Sequence[str]) -> list[str]:
    """Category by category, as in the tables; a method that this page does not know comes last in its own."""
    kinds, known = list(CATEGORY), list(METHODS)
    return sorted(
        methods,
        key=lambda name: (
            kinds.index(kind_of(name)),
            known.index(name) if name in METHODS else len(known),
            name,
        ),
    )


def absent(methods: Sequence[str], level: str, unlearning: Mapping[str, Any]) -> dict[str, str]:
    """Why the methods known here are not among the measured ``methods`` of a level.

    ``unlearning`` is that section of the run's params.
    """
    of_level = {*unlearning.get("methods", []), *unlearning.get("more_methods", {}).get(level, [])}
    return {name: _why(name, level, of_level) for name in METHODS if name not in methods}


def _why(name: str, level: str, asked: Collection[str]) -> str:
    if name in asked:
        return f"asked for in params.yaml, but it left no edit of a {level}"
    if name in ASKABLE:
        return f"this run does not ask for it at level {level} (`unlearning` in params.yaml)"
    return "no run asks for it: `python -m stages.study` makes the model or dictionary that it needs"
