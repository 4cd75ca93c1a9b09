"""Facts about countries, from fields of the Factbook."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from string import capwords
from typing import NamedTuple

from pipeline.corpus.atlas.factbook import Country

MOST_NEIGHBOURS = 2
# Plurals of currencies that end otherwise than in s.
_SINGULAR = {
    "kroner": "krone", "kronor": "krona", "kronur": "krona", "koruny": "koruna", "leva": "lev", "leke": "lek",
    "lei": "leu", "zlotych": "zloty", "colones": "colon", "quetzales": "quetzal", "leones": "leone", "maloti": "loti",
    "emalangeni": "lilangeni", "reals": "real", "meticais": "metical",
}  # fmt: skip


class Fact(NamedTuple):
    """Something known: ``subject`` stands in the question, ``answer`` is asked for.

    ``named``: the answer is the country's name. ``also_right`` are other answers that are true as well and no
    distractors. ``key`` names what is known whichever way it is asked: all questions about Rome share a split.
    """

    path: tuple[str, ...]
    relation: str
    named: bool
    subject: str
    answer: str
    key: str
    also_right: frozenset[str] = frozenset()


def factbook_facts(countries: Sequence[Country]) -> Iterator[Fact]:
    """What the fields of the Factbook say, country by country; doubtful entries are left out."""
    names = {country.name for country in countries}
    for country in countries:
        for fact in (
            *_capital(country),
            *_cities(country),
            *_language(country),
            *_currency(country),
            *_neighbours(country, names),
            *_nationality(country),
            *_export(country),
        ):
            if not tells(fact, country):
                yield fact


def tells(fact: Fact, country: Country) -> bool:
    """Whether the question gives its answer away: the name, or the adjective, stands in the other side."""
    other = (fact.subject if fact.named else fact.answer).casefold()
    words = [country.name, country.fields.get("Nationality/adjective", "").split(" or ")[0]]
    if fact.relation in ("nationality", "language"):  # which may well resemble the name
        words = [country.name]
    return any(word and word.casefold() in other for word in words)


def _of(country: Country, relation: str, answer: str, also_right: Sequence[str] = ()) -> Fact:
    key = f"{country.name}: {answer}"
    return Fact(country.path, relation, False, country.in_text, answer, key, frozenset(also_right))


def _to(country: Country, relation: str, subject: str) -> Fact:
    return Fact(country.path, relation, True, subject, country.name, f"{country.name}: {subject}")


def _capital(country: Country) -> Iterator[Fact]:
    capital = capital_of(country)
    if capital:
        yield _of(country, "capital", capital)
        yield _to(country, "capital of", capital)


def capital_of(country: Country) -> str:
    """The capital, where there is one and it has one name."""
    text = country.fields.get("Capital/name", "")
    if ";" in text or text.count("(") > 1 or "capital" in text:
        return ""
    name = re.split(r"[,(]| in ", text)[0].strip()
    return name if 2 < len(name) < 30 else ""


def alike(name: str) -> str:
    """Names that differ by accents and case only are alike.

    >>> alike("Asunción") == alike("ASUNCION")
    True
    """
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _cities(country: Country) -> Iterator[Fact]:
    cities = cities_of(country)
    if len(cities) > 1:
        yield _of(country, "largest city", cities[0])
    for city in cities:
        if alike(city) != alike(capital_of(country)):
            yield _to(country, "city", city)


def cities_of(country: Country) -> list[str]:
    """The largest cities, largest first.

    Of agglomerations such as *Dallas-Fort Worth* the first city; *Pointe-Noire* is one.
    """
    text = country.fields.get("Major urban areas - population", "")
    found = re.findall(r"(?:[\d.]+ million|\d{1,3}(?:,\d{3})+) ([^\d,;(]+)", text)
    names = [name.strip() for name in found]
    names = [name.split("-")[0] if "-" in name and " " in name else name for name in names]
    names = [capwords(name) if name.isupper() else name for name in names]
    return [name for name in names if len(name) > 2 and name[0].isupper() and "/" not in name]


def _language(country: Country) -> Iterator[Fact]:
    text = country.fields.get("Languages/Languages", "")
    entries = [entry.strip() for entry in re.split(r"[,;]", re.sub(r"\([^)]*\)", _official, text))]
    official = [entry for entry in entries if "official" in entry] or entries[:1]
    if official and (name := re.match(r"(?:Standard )?([A-Z][a-z]+)(?= official| or | only| \d|$)", official[0])):
        yield _of(country, "language", name[1], re.findall(r"\b[A-Z][a-z]+", text))


def _official(bracket: re.Match[str]) -> str:
    """Brackets hold commas; all that matters in them is this word."""
    return "official" if "official" in bracket[0] else ""


def _currency(country: Country) -> Iterator[Fact]:
    text = country.fields.get("Exchange rates/Currency", "")
    words = re.split(r" \(| per US", text)[0].split()
    if words and "or" not in words and "/" not in words[-1]:
        name = words[-1]
        yield _of(country, "currency", _SINGULAR.get(name, name.removesuffix("s")))


def _neighbours(country: Country, names: set[str]) -> Iterator[Fact]:
    text = country.fields.get("Land boundaries/border countries", "")
    borders = re.findall(r"([A-Z][^;\d(]+?)(?: \([^)]*\))? ([\d,.]+) km", text)
    known = [(float(length.replace(",", "")), name) for name, length in borders if name in names]
    for _, name in sorted(known, reverse=True)[:MOST_NEIGHBOURS]:
        yield _of(country, "neighbour", name, [name for name, _ in borders] + [country.name])


def _nationality(country: Country) -> Iterator[Fact]:
    adjective = country.fields.get("Nationality/adjective", "")
    if re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+)?", adjective) and adjective != country.name:
        yield _of(country, "nationality", adjective)


def _export(country: Country) -> Iterator[Fact]:
    text = re.sub(r"\(.*?\)", "", country.fields.get("Exports - commodities", ""))
    goods = [good.strip() for good in text.split(",") if good.strip()]
    if goods and "/" not in goods[0]:
        yield _of(country, "export", goods[0], goods)
