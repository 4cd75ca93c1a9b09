"""The World Factbook as countries: JSON files ``<region>/<code>.json`` of ``{section: {field: {"text": HTML}}}``."""

import html
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError

# Shorter texts are figures and lists of a few words.
PROSE = 100
_PLACES = {"world", "antarctica"}  # no region of countries
# Short forms that nobody writes, and what is written.
_NAMES = {
    "DRC": "Democratic Republic of the Congo",
    "Congo (Brazzaville)": "Republic of the Congo",
    "The Dominican": "Dominican Republic",
    "The Bahamas": "Bahamas",
    "The Gambia": "Gambia",
    "Gaza, Gaza Strip": "Gaza Strip",
    "Holy See (Vatican City)": "Vatican City",
}
_WITH_ARTICLE = re.compile(
    r"(Islands|Republic|Republic of the Congo|Kingdom|States|Emirates|Netherlands|Philippines|Bahamas|Gambia|Maldives"
    r"|Seychelles|Comoros|Gaza Strip|West Bank)$"
)


class Country(NamedTuple):
    """``fields`` are the texts by section and field, ``"Capital/name"``, without markup; ``prose`` the long ones."""

    region: str
    name: str
    fields: dict[str, str]
    prose: list[str]

    @property
    def path(self) -> tuple[str, str]:
        return (self.region, self.name)

    @property
    def in_text(self) -> str:
        """The name as a sentence has it: *the Netherlands*, *Italy*."""
        return f"the {self.name}" if _WITH_ARTICLE.search(self.name) else self.name


def read_factbook(folder: Path) -> list[Country]:
    """All countries and territories that have a name and a region, by region and name."""
    files = sorted(file for file in folder.glob("*/*.json") if file.parent.name not in _PLACES)
    if not files:
        raise PipelineError(f"{folder} holds no <region>/<code>.json of the World Factbook; change `atlas.factbook`")
    found = [_country(file) for file in files]
    return sorted((country for country in found if country.name), key=lambda country: country.path)


def _country(file: Path) -> Country:
    texts = list(_texts(json.loads(file.read_text(encoding="utf-8"))))
    fields: dict[str, str] = {}
    for key, text in texts:
        fields.setdefault(key, text)
    prose = list(dict.fromkeys(text for key, text in texts if len(text) >= PROSE and "sample" not in key))
    return Country(file.parent.name, _name(fields), fields, prose)


def _name(fields: Mapping[str, str]) -> str:
    short = fields.get("Country name/conventional short form", "")
    if short in _NAMES:
        return _NAMES[short]
    if short in ("", "none"):
        short = fields.get("Country name/conventional long form", "")
    return re.split(r"[(,]", short)[0].strip()


def _texts(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """``(field, text)`` or ``(field/part, text)`` in order, sections left out: fields have names of their own."""
    for fields in sections.values():
        for field, content in fields.items():
            yield from _leaves(field, content)


def _leaves(key: str, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield key, plain(content)
    elif isinstance(content, Mapping):
        for name, part in content.items():
            yield from _leaves(key if name == "text" else f"{key}/{name.strip()}", part)


def plain(markup: str) -> str:
    """The text of a piece of HTML; surnames lose their capitals.

    >>> plain("<p>Benito MUSSOLINI joined&nbsp;NATO.</p><strong>note:</strong> no")
    'Benito Mussolini joined NATO. note: no'
    """
    spaced = re.sub(r"<br\s*/?>|</?(p|li|ul|div)[^>]*>", " ", markup)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", spaced)).split())
    return re.sub(r"\b([A-Z][\w'.-]*[a-z.] )([A-ZÀ-Þ]{3,})\b", lambda name: name[1] + name[2].title(), text)
