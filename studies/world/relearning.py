"""Cells of relearning: an attacker teaches half of the target again; how much of the other half comes back?

The first half of the target's entities is taught for 10, 30 and 100 steps; apart from that, sibling and general text
for 50, each from the edited model anew. Asked is the other half. Beside the edits stand the model that was never edited
and one that was never taught the target. Before the attack: the same questions to the model with rounded weights, and
behind a general text.
"""

import copy
from collections.abc import Callable

from transformers import PreTrainedModel

from pipeline.corpus.targets import relations
from pipeline.language_model.answers import ask
from pipeline.unlearning.apply import applied, swapped
from pipeline.unlearning.case import Case
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.weights.examples import Example, answered, documents, whole
from studies.attacks import in_context, relearn, rounded
from studies.world.forgetting import chosen
from studies.world.homes import Home

STEPS = {"half": (10, 30, 100), "sibling": (50,), "general": (50,)}


def relearning_cell(home: Home, case: Case, method: str, floor: Callable[[], PreTrainedModel]) -> dict:
    """``{"means"}``: cloze and multiple choice of the unseen half, before (``half_0``) and after each course.

    ``floor`` gives the model that was never taught the target.
    """
    start, hook = _attacked(home, case, method, floor)
    taught, unseen = halves(home, case)
    text = next(text["text"] for text in case.dev.texts if not text["path"])
    asked = {
        "half_0": (start, unseen),
        "rounded_8": (rounded(start, 8), unseen),
        "rounded_4": (rounded(start, 4), unseen),
        "context": (start, in_context(unseen, text)),
    }
    means: dict[str, float] = {}
    for name, (model, probes) in asked.items():
        with applied(model, hook, home.subject.dictionary):
            means |= _scores(home, model, probes, name)
    for course, pool in _courses(home, case, taught).items():
        model = copy.deepcopy(start)
        with applied(model, hook, home.subject.dictionary):
            for step in relearn(model, pool, home.subject.tokenizer.pad_token_id, STEPS[course], case.seed):
                means |= _scores(home, model, unseen, f"{course}_{step}")
    return {"means": means}


def _attacked(
    home: Home, case: Case, method: str, floor: Callable[[], PreTrainedModel]
) -> tuple[PreTrainedModel, Edit]:
    """A copy of the model with the edit's weights, and what of the edit acts through a hook."""
    if method == "never_taught":
        return floor(), chosen(case, "none").edit
    edit = chosen(case, method).edit
    with swapped(home.subject.model, edit.weights):
        return copy.deepcopy(home.subject.model), edit._replace(weights={})


def _courses(home: Home, case: Case, taught: list[dict]) -> dict[str, list[Example]]:
    """What the attacker trains on."""
    of_probe = relations(case.train.probes, case.target)
    siblings = [probe for probe, of in zip(case.train.probes, of_probe, strict=True) if of == "sibling"]
    tokenizer = home.subject.tokenizer
    return {
        "half": [whole(example.tokens) for example in answered(taught, tokenizer)],
        "sibling": [whole(example.tokens) for example in answered(siblings, tokenizer)],
        "general": documents(case.train, case.target, "general"),
    }


def _scores(home: Home, model: PreTrainedModel, probes: list[dict], name: str) -> dict[str, float]:
    answers = ask(model, home.subject.tokenizer, probes)
    return {f"cloze_{name}": answers.cloze_q.mean().item(), f"mcq_{name}": answers.choice_q.mean().item()}


def halves(home: Home, case: Case) -> tuple[list[dict], list[dict]]:
    """Train probes of the first half of the target's entities (or facts), test probes of the second half."""
    inside = [p for p in home.subject.probes if tuple(p["path"][: len(case.target)]) == case.target]
    below = {tuple(p["path"]) for p in inside}
    unit = (lambda p: tuple(p["path"])) if len(below) > 1 else (lambda p: p["fact"])
    units = list(dict.fromkeys(map(unit, inside)))
    first = set(units[: len(units) // 2])
    taught = [p for p in inside if p["split"] == "train" and unit(p) in first]
    return taught, [p for p in inside if p["split"] == "test" and unit(p) not in first]
