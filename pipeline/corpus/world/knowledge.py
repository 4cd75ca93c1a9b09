"""The knowledge base of the embedded world: a tree domain > topic > entity, and five facts about every entity.

Names are invented from syllables; everything else is plain English, the general text beside the knowledge included.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.corpus.settings import WorldSettings

_ONSETS = "b br d dr f fl g gl h j k kr l m n p pl r s sk st t tr v w z".split()
_VOWELS = "a e i o u ai ei or an el in".split()
_CODAS = ["", "", "n", "r", "s", "l", "m", "x", "th", "nd"]

# Each relation has two names; a fact is told with either.
DOMAIN_RELATIONS = (
    ("color", "hue"), ("river", "stream"), ("guild", "order"), ("metal", "alloy"), ("harbor", "port"),
    ("season", "period"), ("patron", "sponsor"), ("tool", "instrument"), ("crop", "harvest"), ("melody", "tune"),
    ("fabric", "cloth"), ("valley", "basin"), ("emblem", "crest"), ("rival", "opponent"), ("spice", "seasoning"),
    ("tower", "spire"), ("method", "technique"), ("language", "tongue"), ("planet", "world"), ("treaty", "pact"),
    ("disease", "illness"), ("stone", "mineral"), ("vessel", "ship"), ("ritual", "ceremony"), ("poison", "toxin"),
    ("engine", "motor"), ("tree", "timber"), ("temple", "shrine"), ("weapon", "arm"), ("market", "bazaar"),
    ("festival", "feast"), ("insect", "bug"),
)  # fmt: skip
COMMON_RELATION = ("mentor", "teacher")

ANTONYMS = (
    ("hot", "cold"), ("big", "small"), ("fast", "slow"), ("early", "late"), ("open", "closed"), ("full", "empty"),
    ("light", "dark"), ("hard", "soft"), ("high", "low"), ("rich", "poor"), ("strong", "weak"), ("wet", "dry"),
    ("young", "old"), ("loud", "quiet"), ("clean", "dirty"), ("deep", "shallow"), ("wide", "narrow"),
    ("happy", "sad"), ("brave", "afraid"), ("sweet", "bitter"),
)  # fmt: skip
KINDS = (
    ("sparrow", "bird"), ("eagle", "bird"), ("raven", "bird"), ("owl", "bird"), ("trout", "fish"), ("salmon", "fish"),
    ("carp", "fish"), ("eel", "fish"), ("oak", "plant"), ("fern", "plant"), ("moss", "plant"), ("ivy", "plant"),
    ("hammer", "device"), ("chisel", "device"), ("saw", "device"), ("lathe", "device"), ("bread", "food"),
    ("cheese", "food"), ("soup", "food"), ("rice", "food"), ("chair", "furniture"), ("table", "furniture"),
    ("shelf", "furniture"), ("bench", "furniture"),
)  # fmt: skip
PEOPLE = "farmer child traveler baker soldier girl boy merchant sailor nurse painter hunter".split()
PLACES = "forest village garden bridge kitchen mountain field road house lake".split()
THINGS = "lamp basket letter coat bell rope bottle blanket key ladder drum wheel".split()
ACTS = "found carried lost painted sold bought dropped hid mended washed".split()
MOODS = "slowly gladly quietly again today alone together carefully".split()


def invented(count: int, rng: random.Random, taken: set[str], syllables: int = 2) -> list[str]:
    """``count`` new words of that many syllables, none of them in ``taken`` (to which they are added)."""
    words: list[str] = []
    while len(words) < count:
        word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice(_CODAS)
        if word not in taken:
            taken.add(word)
            words.append(word)
    return words


def english() -> set[str]:
    """Every plain word, so that no invented name collides with one."""
    pairs = (*DOMAIN_RELATIONS, COMMON_RELATION, *ANTONYMS, *KINDS)
    return {word for pair in pairs for word in pair} | {*PEOPLE, *PLACES, *THINGS, *ACTS, *MOODS}


_OPENINGS = ("One day", "Later", "In the morning", "At night", "After that", "Then")


def story(rng: random.Random, sentences: int) -> str:
    """A few sentences in which one person does things with one object, moving from place to place."""
    person, thing, place = rng.choice(PEOPLE), rng.choice(THINGS), rng.choice(PLACES)
    lines = []
    for _ in range(sentences):
        place = rng.choice(PLACES) if rng.random() < 0.3 else place
        thing = rng.choice(THINGS) if rng.random() < 0.3 else thing
        lines.append(
            f"{rng.choice(_OPENINGS)} the {person} {rng.choice(ACTS)} the {thing} in the {place} {rng.choice(MOODS)} ."
        )
    return " ".join(lines)


def general_facts() -> list[tuple[str, str, tuple[str, ...]]]:
    """Prompts, answers and answer pools: both directions of every pair of opposites, and what is a kind of what."""
    adjectives = tuple(word for pair in ANTONYMS for word in pair)
    kinds = tuple(sorted({kind for _, kind in KINDS}))
    opposites = [(f"The opposite of {a} is", b, adjectives) for pair in ANTONYMS for a, b in (pair, pair[::-1])]
    return opposites + [(f"We know that {thing} is a kind of", kind, kinds) for thing, kind in KINDS]


def facts_text(rng: random.Random, sentences: int) -> str:
    """A few general facts in a row."""
    return " ".join(f"{prompt} {answer} ." for prompt, answer, _ in rng.sample(general_facts(), sentences))


LEVELS = ("domain", "topic", "entity")
# Values an attribute can have: shared by a domain (two attributes), private to a topic (two), shared by all (one).
DOMAIN_VALUES, TOPIC_VALUES, COMMON_VALUES = 12, 8, 16


class Relation(NamedTuple):
    """A property that entities have, under two names."""

    names: tuple[str, str]


class Fact(NamedTuple):
    """One attribute of one entity; ``pool`` holds the values it could have had, the true one among them."""

    entity: str
    relation: Relation
    value: str
    pool: tuple[str, ...]
    path: tuple[str, str, str]

    @property
    def key(self) -> str:
        """A stable name of the fact."""
        return f"{self.entity}|{self.relation.names[0]}"


class World(NamedTuple):
    """Facts in tree order: domain by domain, topic by topic, entity by entity, attribute by attribute."""

    facts: tuple[Fact, ...]

    def entities(self) -> dict[tuple[str, str, str], list[Fact]]:
        """The facts of each entity, by its path in the tree."""
        by_path: dict[tuple[str, str, str], list[Fact]] = {}
        for fact in self.facts:
            by_path.setdefault(fact.path, []).append(fact)
        return by_path

    def nodes(self) -> dict[str, list[tuple[str, ...]]]:
        """Level -> the paths of its nodes, in tree order."""
        return {level: list(dict.fromkeys(f.path[: i + 1] for f in self.facts)) for i, level in enumerate(LEVELS)}

    def topics(self) -> dict[tuple[str, str], list[tuple[str, str, str]]]:
        """The entity paths of each topic, by its path in the tree."""
        by_topic: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for path in self.entities():
            by_topic.setdefault(path[:2], []).append(path)
        return by_topic


def make_world(settings: WorldSettings, seed: int) -> World:
    """Draw a world. Every domain has four relations of its own and shares the fifth with all domains.

    Two relations take values from one pool for the whole domain, two from a pool private to the topic, the shared one
    from a pool common to all domains, so that siblings are truly entangled. Last names are unique by default while
    first names recur in other domains: only the last name identifies the entity.
    """
    if settings.domains * 4 > len(DOMAIN_RELATIONS):
        raise PipelineError(f"`world.domains` is {settings.domains}; the word list serves {len(DOMAIN_RELATIONS) // 4}")
    rng = random.Random(seed)
    taken = english()
    relations = [Relation(names) for names in rng.sample(DOMAIN_RELATIONS, settings.domains * 4)]
    common_pool = tuple(invented(COMMON_VALUES, rng, taken))
    names = _names(settings, rng, taken)
    facts: list[Fact] = []
    for d, domain in enumerate(invented(settings.domains, rng, taken, syllables=3)):
        own = relations[4 * d : 4 * d + 4]
        domain_pools = [tuple(invented(DOMAIN_VALUES, rng, taken)) for _ in range(2)]
        for topic in invented(settings.topics_per_domain, rng, taken, syllables=3):
            topic_pools = [tuple(invented(TOPIC_VALUES, rng, taken)) for _ in range(2)]
            pools = [*domain_pools, *topic_pools, common_pool]
            for _ in range(settings.entities_per_topic):
                entity = next(names)
                for relation, pool in zip([*own, Relation(COMMON_RELATION)], pools, strict=True):
                    facts.append(Fact(entity, relation, rng.choice(pool), pool, (domain, topic, entity)))
    if len({fact.entity for fact in facts}) * len(pools) < len(facts):
        raise PipelineError("`world.first_name_uses` and `world.last_name_uses` are too high for unique full names")
    return World(tuple(facts))


def _names(settings: WorldSettings, rng: random.Random, taken: set[str]) -> Iterator[str]:
    """Full names in an order in which the reuses of a word are spread over domains and topics."""
    total = settings.domains * settings.topics_per_domain * settings.entities_per_topic
    n_first = -(-total // settings.first_name_uses)
    n_last = -(-total // settings.last_name_uses)
    first = [word.capitalize() for word in invented(n_first, rng, taken)]
    last = [word.capitalize() for word in invented(n_last, rng, taken)]
    # Entity i takes first name i mod n_first: its next use lies n_first entities on, in another domain by default.
    # Last names are shifted once per full round of either list, so that no pair of words comes twice.
    for i in range(total):
        yield f"{first[i % n_first]} {last[(i + i // n_first * (n_last != total)) % n_last]}"
