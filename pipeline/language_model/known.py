"""What a model was found to know: a target that it does not know cannot be forgotten.

A fact counts as known when the right option is preferred in at least two of three paraphrases (of n, in two thirds), so
that guessing knows one of four at most. A model must know the share ``least`` of its target's facts, or, where that is
None, more of them than guessing reaches.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, read_jsonl
from pipeline.corpus.settings import CHANCE
from pipeline.corpus.targets import relation

LUCK = 1.96  # standard deviations: guessing comes so far in one of forty tries
BESIDE = {"sibling": "the siblings", "other": "what is neither target nor sibling", "general": "general knowledge"}


class Known(NamedTuple):
    """A fact asked in one direction: who it is about, how it is asked, and how often the answer was right."""

    path: tuple[str, ...]
    kind: str
    fact: str
    right: int
    asked: int

    @property
    def known(self) -> bool:
        return self.right >= math.ceil(2 * self.asked / 3 - 1e-9)


def fact_of(probe: Mapping[str, Any]) -> tuple[tuple[str, ...], str, str]:
    """What all paraphrases of a fact share: its node, the kind of question, and what is asked of what."""
    asked = (probe["fact"], probe.get("relation", ""), probe.get("subject", ""), probe["answer"])
    return tuple(probe["path"]), probe["kind"], "|".join(asked)


def of_knowledge(probes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The probes that say what a model knows: all but the sentences from which edits learn to keep a word."""
    return [probe for probe in probes if probe["split"] not in ("copying_train", "copying_dev")]


def facts_known(probes: Iterable[Mapping[str, Any]], right: Mapping[str, bool]) -> list[Known]:
    """Every fact, by the way in which it is asked for: its name, something else, or a copy of what is said."""
    found: dict[tuple[tuple[str, ...], str, str], list[bool]] = {}
    for probe in probes:
        found.setdefault(fact_of(probe), []).append(right[probe["id"]])
    return [Known(*key, sum(answers), len(answers)) for key, answers in found.items()]


def table_of(facts: Sequence[Known], depth: int) -> list[dict[str, Any]]:
    """A row for each node at ``depth`` and kind of question: its facts, the known ones, accuracy with four options."""
    rows: dict[tuple[str, str], list[Known]] = {}
    for fact in facts:
        if len(fact.path) >= depth:
            rows.setdefault(("/".join(fact.path[:depth]), fact.kind), []).append(fact)
    return [
        {
            "node": node,
            "kind": kind,
            "facts": len(of),
            "known": sum(fact.known for fact in of),
            "choice": round(sum(fact.right for fact in of) / sum(fact.asked for fact in of), 3),
        }
        for (node, kind), of in sorted(rows.items())
    ]


def check_known(facts: Sequence[Known], targets: Mapping[str, tuple[str, ...]], least: float | None) -> None:
    """Refuse a target of which the model knows too few facts; copying needs no knowledge."""
    for level, target in targets.items():
        of = {node: counts for node, counts in shares_known(facts, len(target)).items() if sum(counts)}
        known, unknown = of.pop(target, (0, 0))
        asked = known + unknown
        if known < least_facts(asked, least):
            raise PipelineError(
                f"the model knows {known} of {asked} facts of the {level} to forget, {'/'.join(target)}, "
                f"{_why(asked, least)}; {_instead(of, known / asked)}"
            )


def least_facts(asked: int, least: float | None) -> float:
    """How many of so many facts must be known."""
    return asked * CHANCE + LUCK * math.sqrt(asked * CHANCE * (1 - CHANCE)) if least is None else least * asked


def _why(asked: int, least: float | None) -> str:
    if least is not None:
        return f"below the share of {least} that language_model.least_known asks for"
    return f"and guessing comes to {math.floor(least_facts(asked, None))}: that it was forgotten could not be seen"


def _instead(of: Mapping[tuple[str, ...], tuple[int, int]], share: float) -> str:
    """What to change, and the nodes of which more is known."""
    shares = {node: known / (known + unknown) for node, (known, unknown) in of.items()}
    best = sorted((node for node in shares if shares[node] > share), key=lambda node: -shares[node])[:5]
    better = ", ".join(f"{node[-1]} {of[node][0]} of {sum(of[node])}" for node in best)
    return (
        f"name another target{f' (it knows more of {better})' if better else ''} or another model, or train one "
        "longer, on text that says the answers (language_model.tiny)"
    )


def unknown_beside(facts: Sequence[Known], targets: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A sentence for each side of a target of which the model knows no more than guessing: no damage shows there."""
    said = []
    for level, target in targets.items():
        for side, words in BESIDE.items():
            of = [fact.known for fact in facts if fact.kind != "copying" and relation(fact.path, target) == side]
            if sum(of) < least_facts(len(of), None):
                said.append(
                    f"beside the {level} {'/'.join(target)} the model knows {sum(of)} of {len(of)} facts of {words}, "
                    "as guessing does: damage there will not be seen"
                )
    return said


def shares_known(facts: Sequence[Known], depth: int) -> dict[tuple[str, ...], tuple[int, int]]:
    """Node -> numbers of its facts that are known and that are not."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for fact in facts:
        if len(fact.path) >= depth and fact.kind != "copying":
            counts.setdefault(fact.path[:depth], [0, 0])[0 if fact.known else 1] += 1
    return {node: (known, unknown) for node, (known, unknown) in counts.items()}


def refuse_unknown(model_dir: Path, corpus_dir: Path, targets: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a target that the model hardly knows, where it was asked."""
    file = model_dir / "knowledge.json"
    if file.exists():
        content = read_json(file)
        check_known(
            facts_known(of_knowledge(read_jsonl(corpus_dir / "probes.jsonl")), content["right"]),
            targets,
            content["least_known"],
        )
