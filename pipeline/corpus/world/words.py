"""The vocabulary of the embedded world: invented names from syllables, plain English for everything else.

Text that has nothing to do with the knowledge base: small stories, opposites, kinds of things.
"""

import random

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
