"""A few prompts of the test split, continued greedily before and after every edit: what forgetting looks like."""

import random
from pathlib import Path
from typing import Any

from pipeline.core.progress import track
from pipeline.corpus.targets import relations
from pipeline.evaluation.edits import open_edit
from pipeline.language_model.answers import ask
from pipeline.language_model.completions import complete
from pipeline.unlearning.apply import applied
from pipeline.unlearning.subject import Subject

SHOWN = ("forget", "sibling", "general")  # relations to the target
EACH = 2  # prompts of a relation
ASKED = 20  # probes among which those are looked for
LENGTH = 8  # tokens


def all_completions(subject: Subject, unlearning: Path, seed: int) -> dict[str, dict[str, Any]]:
    """By level the target, and of each prompt its relation, the right answer, the text before and after each edit."""
    found = {}
    for level, target in subject.targets.items():
        probes = chosen_prompts(subject, target, seed)
        before = texts(subject, probes)
        cells = sorted(path.parent for path in unlearning.glob(f"*/{level}/edit.json"))
        after = {}
        for cell in track(cells, f"complete prompts on a {level}", len(cells), "edits"):
            with applied(subject.model, open_edit(cell, subject, target), subject.dictionary):
                after[cell.parent.name] = texts(subject, probes)
        rows = [
            {"relation": relation, "prompt": probe["prompt"], "answer": probe["answer"], "before": before[i]}
            | {"after": {method: said[i] for method, said in after.items()}}
            for i, (probe, relation) in enumerate(zip(probes, relations(probes, target), strict=True))
        ]
        found[level] = {"target": list(target), "prompts": rows}
    return found


def chosen_prompts(subject: Subject, target: tuple[str, ...], seed: int) -> list[dict]:
    """Of each relation a few test probes of different facts, those first that the unedited model completes."""
    probes, _ = subject.split("test")
    of_probe = relations(probes, target)
    found = []
    for wanted in SHOWN:
        some = [probe for probe, relation in zip(probes, of_probe, strict=True) if relation == wanted]
        some = random.Random(f"{seed}|{wanted}").sample(some, min(ASKED, len(some)))
        if some:
            cloze_q = ask(subject.model, subject.tokenizer, some).cloze_q.tolist()
            of_fact: dict[str, dict] = {}
            for q in sorted(range(len(some)), key=lambda q: -cloze_q[q]):
                of_fact.setdefault(some[q]["fact"], some[q])
            found += list(of_fact.values())[:EACH]
    return found


def texts(subject: Subject, probes: list[dict]) -> list[str]:
    """How the model goes on after each prompt, as it is or under the edit that is in force."""
    return [complete(subject.model, subject.tokenizer, probe["prompt"], LENGTH).text for probe in probes]
