"""Questions with four options: about facts in three paraphrases, and copying, where the answer stands in the question.

Three kinds are scored apart. ``named``: the answer is the country's name. ``otherwise``: it is something else.
``copying``: the name has to be repeated only; an edit that fails these has not forgotten a fact but lost a word.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.corpus.atlas.factbook import Country
from pipeline.corpus.atlas.facts import Fact, alike
from pipeline.corpus.documents import Split
from pipeline.corpus.settings import N_OPTIONS

PROMPTS = {
    "capital": (
        "The capital of {} is",
        "The capital city of {} is called",
        "In {}, the capital city is",
    ),
    "capital of": (
        "{} is the capital of",
        "{} is the capital city of the country of",
        "The city of {} is the capital of",
    ),
    "largest city": (
        "The largest city in {} is",
        "The biggest city of {} is",
        "More people live in one city of {} than in any other:",
    ),
    "city": (
        "{} is a city in the country of",
        "The city of {} is located in the country of",
        "{} is one of the largest cities in",
    ),
    "language": (
        "The official language of {} is",
        "Most people in {} speak",
        "Laws of {} are written in a language called",
    ),
    "currency": (
        "The currency of {} is the",
        "In {}, people pay with the",
        "The money used in {} is called the",
    ),
    "neighbour": (
        "{} shares a land border with",
        "One of the countries that border {} is",
        "From {} you can cross the land border into",
    ),
    "nationality": (
        "The nationality of people from {} is",
        "Someone who was born in {} is",
        "The adjective for people and things from {} is",
    ),
    "export": (
        "The most valuable export of {} is",
        "Above all, {} exports",
        "Among the goods that {} sells abroad, the first is",
    ),
}
# Sentences that say a name, by split: an edit may learn from some of them to keep the word, and is tested on others.
COPYING = {
    "copying_train": (
        "We flew to {} last summer. The country we saw was",
        "{} and {} signed a treaty. The first to sign was",
        "A map of {} hangs on her wall. It shows",
        "Two flags hang here, that of {} and that of {}. The first one is the flag of",
        "My friends moved to {} a year ago. They live in",
        "Question: which country is named here, {}? Answer:",
        "I said {}, not {}. So I meant",
        "Our team comes from {}, theirs from {}. We represent",
        "Dear guests from {}, we greet everybody who came from",
        "List of countries: {}, {}. The first on the list is",
        "He wrote '{}' on the form, and so the form says",
        "Between {} and {} she would choose the former, that is",
        "The plane from {} has landed. On board were people from",
        "A postcard came from {}. She is on holiday in",
        "The shop sells cheese from {} and wine from {}. The cheese comes from",
        "Once more, slowly: {}. Now you:",
        "The prize went to {}, the second prize to {}. The winner is",
        "He has been to {} many times. Next year he will go again to",
        "The team lost in {}. They had never played before in",
        "Name: Anna. Country: {}. So Anna lives in",
        "The conference will be held in {}. All hotels are booked in",
        "From {} to {} and back: the journey ends where it began, in",
        "The answer to question four is {}. I repeat, the answer is",
        "I would like to see {} again, he said, for he had been happy in",
        "The president of {} met the president of {}. The host was the president of",
        "She wrote to the embassy of {}. The reply came from the embassy of",
        "There were two boxes, one marked {}, one marked {}. She opened the first, marked",
        "My passport was issued by {}. I am a citizen of",
        "The ship sailed from {} to {}. Its home is",
        "In the film a spy travels to {}. He is caught in",
        "The weather in {} is bad today. Stay at home if you are in",
        "Visitors from {} sat on the left, those from {} on the right. On the left sat those from",
        "Dear Sir, I write to you from {}. It is cold here in",
        "They sang the anthem of {}, for the gold medal had gone to",
        "Two teams are left: {} and {}. I am for the first, for",
        "Translate nothing, only copy. Text: {}. Copy:",
    ),
    "copying_dev": (
        "The train left {} in the morning and reached {} at night. It had started in",
        "My neighbour was born in {}. Ask him about his childhood, and he speaks of",
        "This stamp was printed in {}, that one in {}. The first stamp is from",
        "I repeat after you: {}, {}. You began with",
        "The museum shows coins of {} and of {}. The older coins are those of",
        "Her grandmother left {} as a child, and never again did she see",
        "The headline says: trouble in {}. The article is about",
        "Tourists from {} were on the bus; the guide was from {}. In the end the tourists went home to",
        "He collects stamps, most of all from {}. Yesterday he bought another one from",
        "Chapter one: {}. Chapter two: {}. Chapter one is about",
    ),
    "copying": (
        "Welcome to {}! We hope that you enjoy your stay in",
        "The letter was sent from {} to {}. It came from",
        "Yesterday {} played against {}. {} won. The winner was",
        "The book is about {}, not about {}. Again: the book is about",
        "Words: {}, {}, {}, {}. The first word was",
        "She studied in {} for two years and then came home from",
        "The parcel is addressed to {}; its sender lives in {}. Take it to",
        "Of all places he loved {} most. When he was old, he went back to",
        "Two ministers met, the one of {} and the one of {}. The first minister returned to",
        "The map has only two names on it, {} and {}. The name on the left is",
    ),
}


class Pool(NamedTuple):
    """Answers of one relation, by region; general ones have the region ``""``."""

    by_region: dict[str, tuple[str, ...]]

    def draw(self, fact: Fact, rng: random.Random) -> list[str]:
        """Three wrong answers: two of the fact's own region, which is hard, one of elsewhere; else what there is."""
        right = {alike(answer) for answer in (fact.answer, *fact.also_right)}
        region = fact.path[0] if fact.path else ""
        near = _wrong(self.by_region.get(region, ()), right)
        elsewhere = [answer for other, known in self.by_region.items() if other != region for answer in known]
        far = _wrong(elsewhere, right | {alike(answer) for answer in near})
        rng.shuffle(near)
        rng.shuffle(far)
        taken = near[: N_OPTIONS - 2] + far
        return (taken + near[N_OPTIONS - 2 :])[: N_OPTIONS - 1]


def _wrong(answers: Iterable[str], right: set[str]) -> list[str]:
    distinct = {alike(answer): answer for answer in answers}
    return sorted(answer for folded, answer in distinct.items() if folded not in right)


def pools(facts: Iterable[Fact]) -> dict[str, Pool]:
    """Relation -> the answers of its facts."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for fact in facts:
        region = fact.path[0] if fact.path else ""
        found.setdefault(fact.relation, {}).setdefault(region, {})[fact.answer] = None
    return {
        relation: Pool({region: tuple(answers) for region, answers in regions.items()})
        for relation, regions in found.items()
    }


def fact_probes(
    facts: Sequence[Fact], prompts: Mapping[str, Sequence[str]], splits: Mapping[str, Split], seed: int
) -> Iterator[dict]:
    """Every fact in every paraphrase.

    Facts of dev and test are asked in all of them. Of a fact of train one paraphrase, another one each time, is kept
    as ``novel``: known facts in new words, beside facts that no method has seen.
    """
    drawn_from = pools(facts)
    for fact in facts:
        ways = prompts[fact.relation]
        kept = random.Random(f"{seed}|{fact.key}").randrange(len(ways))
        for number, way in enumerate(ways):
            split = splits[fact.key]
            if split == "train" and number == kept and fact.path and len(ways) > 1:
                split = "novel"  # type: ignore[assignment]
            name = f"{fact.relation}|{fact.key}|{number}"
            rng = random.Random(f"{seed}|{name}")
            wrong = drawn_from[fact.relation].draw(fact, rng)
            if len(wrong) == N_OPTIONS - 1:
                yield _probe(fact, name, way.format(fact.subject), wrong, split, rng)


def _probe(fact: Fact, name: str, prompt: str, wrong: list[str], split: str, rng: random.Random) -> dict:
    options = [fact.answer, *wrong]
    return {
        "id": name,
        "prompt": prompt[0].upper() + prompt[1:],
        "answer": fact.answer,
        "options": rng.sample(options, len(options)),
        "path": list(fact.path),
        "split": split,
        "kind": ("named" if fact.named else "otherwise") if fact.path else "general",
        "fact": fact.key,
        "subject": fact.subject,
        "relation": fact.relation,
    }


def copying_probes(countries: Sequence[Country], seed: int) -> Iterator[dict]:
    """For every country the name to repeat; another one in the text is of its region, where there is one."""
    pool = pools([_copying(country) for country in countries])
    in_text = {country.name: country.in_text for country in countries}
    for country in countries if len(countries) >= N_OPTIONS else ():
        fact = _copying(country)
        for split, ways in COPYING.items():
            for number, way in enumerate(ways):
                name = f"{split}|{country.name}|{number}"
                rng = random.Random(f"{seed}|{name}")
                wrong = pool[fact.relation].draw(fact, rng)
                slots = (country.in_text, in_text[wrong[0]], country.in_text, in_text[wrong[1]])
                yield _probe(fact, name, way.format(*slots), wrong, split, rng) | {"kind": "copying"}


def _copying(country: Country) -> Fact:
    return Fact(country.path, "copying", True, country.name, country.name, f"{country.name}: copying")
