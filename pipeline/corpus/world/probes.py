"""How a fact is told, and how it is asked: sentence templates, and cloze and four-option probes on those held out.

Each fact is trained on some of nine templates; two more are wholly new. These use known words only: an unknown word
would test the tokenizer, not the knowledge.
"""

import hashlib
import random
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.corpus.settings import N_OPTIONS
from pipeline.corpus.world.knowledge import Fact, World, general_facts

# None of them ends like another: a held-out one must be new up to the value.
# {r} is the relation by one of its two names, {e} the entity; the value always comes last.
TEMPLATES = (
    (0, "The {r} of {e} is"),
    (0, "{e} has the {r}"),
    (1, "{e} has a {r} called"),
    (1, "For {e} the {r} is"),
    (0, "As {r} , {e} has"),
    (1, "It is known that {e} took the {r}"),
    (0, "Everyone names , as {r} of {e} ,"),
    (1, "When asked about the {r} of {e} , people say"),
    (0, "The {r} given to {e} was"),
)
NOVEL = (
    (1, "The {r} that people say {e} has is"),
    (0, "{e} , as people say , was given the {r}"),
)
N_TRAINED, N_DEV = 5, 2


class Assignment(NamedTuple):
    """Template numbers of one fact: told in training text, held out for choosing, held out for reporting."""

    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]


def assign(fact: Fact, seed: int) -> Assignment:
    """Which templates a fact is trained on; a hash decides, so that it depends on nothing but the fact and the seed."""
    order = sorted(range(len(TEMPLATES)), key=lambda i: hashlib.sha256(f"{seed}|{fact.key}|{i}".encode()).digest())
    trained, held = order[:N_TRAINED], order[N_TRAINED:]
    return Assignment(tuple(trained), tuple(held[:N_DEV]), tuple(held[N_DEV:]))


def prompt(fact: Fact, template: tuple[int, str]) -> str:
    """The sentence up to, and without, the value."""
    which, text = template
    return text.format(r=fact.relation.names[which], e=fact.entity)


def sentence(fact: Fact, template: tuple[int, str]) -> str:
    """The whole sentence."""
    return f"{prompt(fact, template)} {fact.value} ."


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
