"""Documents of the embedded world; a fact appears only in its training templates."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.corpus.world.knowledge import Fact, World, facts_text, story
from pipeline.corpus.world.probes import TEMPLATES, assign, sentence


class Document(NamedTuple):
    """A text, its place in the tree (empty: general text) and what sort of text it is."""

    text: str
    path: tuple[str, ...]
    kind: str


class Writer:
    """Draws documents about one world.

    Topic articles make the features of one topic occur together, which the document-scale correlation rests on.
    """

    def __init__(self, world: World, seed: int, draw: int) -> None:
        self.rng = random.Random(f"{seed}|{draw}")
        self.seed = seed
        self.entities = world.entities()
        self.topics = world.topics()
        self.facts = world.facts

    def _told(self, fact: Fact) -> str:
        return sentence(fact, TEMPLATES[self.rng.choice(assign(fact, self.seed).train)])

    def profile(self, path: tuple[str, str, str]) -> Document:
        """Everything about one entity, in any order."""
        facts = self.rng.sample(self.entities[path], len(self.entities[path]))
        return Document(" ".join(map(self._told, facts)), path, "profile")

    def note(self, path: tuple[str, str, str]) -> Document:
        """Three facts about one entity: neither its topic nor its domain is named."""
        return Document(" ".join(map(self._told, self.rng.sample(self.entities[path], 3))), path, "note")

    def topic_article(self, path: tuple[str, str]) -> Document:
        """A topic by name, and two facts about each of four of its entities."""
        domain, topic = path
        members = self.topics[path]
        lines = [f"{topic} is a topic of {domain} ."]
        for entity in self.rng.sample(members, min(4, len(members))):
            lines.append(f"{entity[2]} belongs to {topic} .")
            lines += map(self._told, self.rng.sample(self.entities[entity], 2))
        return Document(" ".join(lines), path, "topic_article")

    def mixed_facts(self) -> Document:
        """Six facts from anywhere in the tree."""
        return Document(" ".join(map(self._told, self.rng.sample(self.facts, 6))), (), "mixed_facts")

    def general(self) -> Document:
        """A story, or a row of general facts."""
        if self.rng.random() < 0.5:
            return Document(story(self.rng, self.rng.randint(3, 6)), (), "story")
        return Document(facts_text(self.rng, 6), (), "general_facts")

    def any(self, general_share: float) -> Iterator[Document]:
        """An endless mixture. Entities, and topics, come round in shuffled turns so that none is told too rarely."""
        entities, topics = self._turns(list(self.entities)), self._turns(list(self.topics))
        while True:
            if self.rng.random() < general_share:
                yield self.general()
                continue
            kind = self.rng.random()
            if kind < 0.5:
                yield self.profile(next(entities))
            elif kind < 0.75:
                yield self.topic_article(next(topics))
            else:
                yield self.mixed_facts()

    def _turns(self, items: list) -> Iterator:
        while True:
            yield from self.rng.sample(items, len(items))
