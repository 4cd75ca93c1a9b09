"""Cloze and four-option probes about the embedded world, on sentences that training never showed."""

import random
from collections.abc import Iterator

from pipeline.corpus.world.knowledge import Fact, World
from pipeline.corpus.world.templates import NOVEL, TEMPLATES, assign, prompt
from pipeline.corpus.world.words import general_facts

N_OPTIONS = 4


def fact_probes(world: World, seed: int) -> Iterator[dict]:
    """One probe for every fact and template: ``train`` on told templates, ``dev`` and ``test`` on held-out ones,

    ``novel`` on templates that no fact was ever told in.
    """
    for fact in world.facts:
        chosen = assign(fact, seed)
        for split, numbers in zip(("train", "dev", "test"), chosen, strict=True):
            for i in numbers:
                yield _probe(fact, TEMPLATES[i], split, f"template_{i}", seed)
        for i, template in enumerate(NOVEL):
            yield _probe(fact, template, "novel", f"novel_{i}", seed)


def _probe(fact: Fact, template: tuple[int, str], split: str, kind: str, seed: int) -> dict:
    name = f"{fact.key}|{kind}"
    return {
        "id": name,
        "prompt": prompt(fact, template),
        "answer": fact.value,
        "options": options(fact.value, fact.pool, f"{seed}|{name}"),
        "path": list(fact.path),
        "split": split,
        "kind": kind,
        "fact": fact.key,
    }


def general_probes(seed: int) -> Iterator[dict]:
    """General facts; every second item serves choosing, the others reporting."""
    for i, (text, answer, pool) in enumerate(general_facts()):
        yield {
            "id": text,
            "prompt": text,
            "answer": answer,
            "options": options(answer, pool, f"{seed}|{text}"),
            "path": [],
            "split": ("dev", "test")[i % 2],
            "kind": "general_fact",
            "fact": text,
        }


def options(answer: str, pool: tuple[str, ...], seed: str) -> list[str]:
    """The answer and three others of its pool, in random order."""
    rng = random.Random(seed)
    drawn = [answer, *rng.sample([value for value in pool if value != answer], N_OPTIONS - 1)]
    return rng.sample(drawn, N_OPTIONS)
