"""Cells of relearning: an attacker teaches half of the target again; how much of the other half comes back?

The first half of the target's entities is taught for 10, 30 and 100 steps; apart from that, sibling and general text
for 50, each from the edited model anew. Asked is the other half. Beside the edits stand the model that was never edited
and one that was never taught the target.
"""

import copy
from pathlib import Path

from pipeline.evaluation.relearning import relearn, whole
from pipeline.language_model.answers import ask
from pipeline.settings.resolve import Params
from pipeline.study.forgetting import chosen
from pipeline.study.homes import Home
from pipeline.study.never_taught import never_taught
from pipeline.unlearning.applying import applied, swapped
from pipeline.unlearning.case import Case
from pipeline.unlearning.damage import relations
from pipeline.unlearning.examples import answered, documents

STEPS = {"half": (10, 30, 100), "sibling": (50,), "general": (50,)}


def relearning_cell(home: Home, case: Case, method: str, data: Path, params: Params) -> dict:
    """``{"means"}``: cloze and multiple choice of the unseen half, before (``_0``) and after each course."""
    original, tokenizer, pad = home.subject.model, home.subject.tokenizer, home.subject.tokenizer.pad_token_id
    edit = chosen(case, "none" if method == "never_taught" else method).edit
    taught, unseen = halves(home, case)
    siblings = [
        p for p, of in zip(case.train.probes, relations(case.train.probes, case.target), strict=True) if of == "sibling"
    ]
    courses = {
        "half": [whole(example) for example in answered(taught, tokenizer)],
        "sibling": [whole(example) for example in answered(siblings, tokenizer)],
        "general": documents(case.train, case.target, "general"),
    }
    with swapped(original, edit.weights):
        start = never_taught(data, params) if method == "never_taught" else copy.deepcopy(original)
    hook, means = edit._replace(weights={}), {}

    def score(model, name: str) -> None:
        answers = ask(model, tokenizer, unseen)
        means[f"cloze_{name}"], means[f"mcq_{name}"] = answers.cloze_q.mean().item(), answers.choice_q.mean().item()

    for course, pool in courses.items():
        model = copy.deepcopy(start)
        with applied(model, hook, home.subject.dictionary):
            if not means:
                score(model, "half_0")
            for step in relearn(model, pool, pad, STEPS[course], case.seed):
                score(model, f"{course}_{step}")
    return {"means": means}


def halves(home: Home, case: Case) -> tuple[list[dict], list[dict]]:
    """Train probes of the first half of the target's entities (or facts), test probes of the second half."""
    inside = [p for p in home.subject.probes if tuple(p["path"][: len(case.target)]) == case.target]
    below = {tuple(p["path"]) for p in inside}
    unit = (lambda p: tuple(p["path"])) if len(below) > 1 else (lambda p: p["fact"])
    units = list(dict.fromkeys(map(unit, inside)))
    first = set(units[: len(units) // 2])
    taught = [p for p in inside if p["split"] == "train" and unit(p) in first]
    return taught, [p for p in inside if p["split"] == "test" and unit(p) not in first]
