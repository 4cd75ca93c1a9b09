"""A Factbook of two regions with two countries each, some articles, and a language model that knows nothing of them."""

import json
from pathlib import Path

COUNTRIES = {
    "europe": {
        "Italy": ("Rome", "Milan Naples Turin Bergamo Palermo", "Italian", "euros (EUR)", "Italian", "medicine"),
        "Poland": ("Warsaw", "Krakow Lodz Gdansk Poznan Lublin", "Polish", "zlotych (PLN)", "Polish", "cars"),
    },
    "south-america": {
        "Peru": ("Lima", "Arequipa Trujillo Cusco Piura Tacna", "Spanish", "nuevo sol (PEN)", "Peruvian", "copper"),
        "Chile": ("Santiago", "Valdivia Iquique Calama Temuco Arica", "Mapuche", "pesos (CLP)", "Chilean", "fish"),
    },
}
PROSE = (
    "The land of {0} is hilly in the north and flat in the south, and most of its people live near {1}.",
    "Since 1990 the economy of {0} has grown by a few percent a year; its main export is {2}, which ships from {1}.",
    "The armed forces are small, and the parliament in {1} has two chambers that are elected every four or five years.",
)
ARTICLES = {
    "sport": "The team won the match by two goals to one, and the coach said that they had trained hard. ",
    "business": "Shares of the company fell by three percent after it had told of lower profits this year. ",
}


def write_places(folder: Path) -> dict[str, str]:
    """Write Factbook and articles; returns the keys of section ``atlas`` that name them."""
    for region, countries in COUNTRIES.items():
        for number, (name, about) in enumerate(countries.items()):
            file = folder / "factbook" / region / f"c{number}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            other = next(other for other in countries if other != name)
            file.write_text(json.dumps(country(name, other, *about)))
    for kind, sentence in ARTICLES.items():
        (folder / "articles" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(10):
            (folder / "articles" / kind / f"{number:03}.txt").write_text(f"Story {number} of {kind}.\n\n{sentence * 4}")
    return {"factbook": str(folder / "factbook"), "articles": str(folder / "articles")}


def country(
    name: str, neighbour: str, capital: str, cities: str, language: str, money: str, adjective: str, good: str
) -> dict:
    """The file of a country; its fields stand where the Factbook has them."""
    listed = ", ".join(f"{9 - i}.5 million {city}" for i, city in enumerate(cities.split()))
    prose = [line.format(name, capital, good) for line in PROSE for _ in range(4)]
    return {
        "Introduction": {"Background": {"text": f"<p>{prose[0]}</p>"}},
        "Geography": {"Land boundaries": {"border countries": {"text": f"{neighbour} 801.5 km; Nowhere 12 km"}}},
        "People and Society": {
            "Nationality": {"noun": {"text": f"{adjective}(s)"}, "adjective": {"text": adjective}},
            "Languages": {"Languages": {"text": f"{language} (official) 90%, other 10%"}},
            "Major urban areas - population": {"text": f"12.1 million {capital.upper()} (capital), {listed} (2023)"},
        },
        "Government": {
            "Country name": {"conventional short form": {"text": name}},
            "Capital": {"name": {"text": capital}},
        },
        "Economy": {
            "Exports - commodities": {"text": f"{good}, wood (2023)", "note": "<b>note:</b> top export commodities"},
            "Exchange rates": {"Currency": {"text": f"{money} per US dollar -"}},
        },
        "Notes": {f"Note {i}": {"text": f"{line} That is note number {i} of {name}."} for i, line in enumerate(prose)},
    }
