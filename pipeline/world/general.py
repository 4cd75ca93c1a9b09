"""Text that has nothing to do with the knowledge base: small stories, opposites, kinds of things."""

import random

from pipeline.world.words import ACTS, ANTONYMS, KINDS, MOODS, PEOPLE, PLACES, THINGS

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
