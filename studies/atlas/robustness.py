"""Does the country stay forgotten? Rounded weights, other text before the question, and an attacker who relearns.

The attacker trains the decoder layers on what forgetting was trained on (``taught``: the country's facts of the train
split), on facts about its siblings, or on general text, each from the edited model anew; asked are its test facts that
the unedited model knows. A hook stays in place. A row is kept as it comes.
"""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import read_json
from pipeline.core.settings import read_section
from pipeline.corpus.targets import relations
from pipeline.evaluation.edits import open_edit
from pipeline.language_model.answers import ask
from pipeline.language_model.hooks import decoder_layers
from pipeline.unlearning.apply import applied, swapped
from pipeline.unlearning.edit import Edit, no_edit
from pipeline.unlearning.subject import Subject, open_subject
from pipeline.unlearning.weights.examples import Example, answered, documents, whole
from studies.attacks import in_context, relearn, rounded

LEVEL = "country"
METHODS = "none", "npo", "subtree"
RATE = 2e-5  # the attacker's AdamW
STEPS = {"taught": (10, 30), "sibling": (30,), "general": (30,)}


def robustness_rows(data: Path, seed: int, done: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """For each of the methods that is not done, multiple choice before (``start``) and after everything."""
    activations = at_layer(read_section(data / "params.yaml", ActivationsSettings, "activations"), data / "model")
    chosen = read_json(data / "unlearning/targets.json")
    subject = open_subject(data / "model", data / "sae", data / "corpus", activations, chosen, "cpu")
    target = subject.targets[LEVEL]
    asked = _known(subject, target)
    for method in METHODS:
        if method not in {row["method"] for row in done}:
            cell = data / "unlearning" / method / LEVEL
            edit = no_edit(LEVEL, target, subject.layer) if method == "none" else open_edit(cell, subject, target)
            shares = dict(_survived(subject, target, edit, asked, seed))
            yield {"method": method, "target": "/".join(target), "asked": len(asked), "shares": shares}


def _known(subject: Subject, target: tuple[str, ...]) -> list[dict[str, Any]]:
    probes = [p for p in subject.split("test")[0] if tuple(p["path"]) == target]
    right_q = ask(subject.model, subject.tokenizer, probes).choice_q
    return [probe for probe, right in zip(probes, right_q.tolist(), strict=True) if right]


def _survived(
    subject: Subject, target: tuple[str, ...], edit: Edit, asked: list[dict[str, Any]], seed: int
) -> Iterator[tuple[str, float]]:
    with swapped(subject.model, edit.weights):
        start = copy.deepcopy(subject.model)
    hook, tokenizer = edit._replace(weights={}), subject.tokenizer

    def share(model: Any, probes: list[dict[str, Any]]) -> float:
        return ask(model, tokenizer, probes).choice_q.mean().item()

    courses = _courses(subject, target)
    context = tokenizer.decode(courses["general"][0].tokens[:64], skip_special_tokens=True)
    for name, model, probes in (
        ("start", start, asked),
        ("8 bits", rounded(start, 8), asked),
        ("4 bits", rounded(start, 4), asked),
        ("other text before", start, in_context(asked, context)),
    ):
        with applied(model, hook, subject.dictionary):
            yield name, share(model, probes)
    for course, pool in courses.items():
        model = copy.deepcopy(start)
        attacked = [weight for layer in decoder_layers(model) for weight in layer.parameters()]
        with applied(model, hook, subject.dictionary):
            steps = relearn(model, pool, tokenizer.pad_token_id, STEPS[course], seed, attacked, RATE)
            for step in steps:
                yield f"{course}, {step} steps", share(model, asked)


def _courses(subject: Subject, target: tuple[str, ...]) -> dict[str, list[Example]]:
    """What the attacker trains on."""
    probes, texts = subject.split("train")
    of_probe = relations(probes, target)
    by = {name: [p for p, of in zip(probes, of_probe, strict=True) if of == name] for name in ("forget", "sibling")}
    general = subject.some([text for text in texts if not text["path"]], 8192, 0)
    taught, sibling = ([whole(e.tokens) for e in answered(by[name], subject.tokenizer)] for name in by)
    return {"taught": taught, "sibling": sibling, "general": documents(subject.bench([], general), target, "general")}
