"""Tables of facts, one relation each: JSON as in the LRE data set, some of them carried by the project.

A table is ``{"name", "prompt_templates", "samples": [{"subject", "object"}]}``, a file holds one, or a list of them
under ``tables``. Where most objects are countries it asks for the country of a thing; where most subjects are, it asks
about them; else it is general knowledge.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.corpus.atlas.factbook import Country
from pipeline.corpus.atlas.facts import Fact

CARRIED = Path(__file__).parent / "relations.json"


class Table(NamedTuple):
    """One relation: up to three ways of asking, with ``{}`` for the subject, and what is so."""

    name: str
    prompts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def read_tables(folder: Path | None) -> list[Table]:
    """The project's own tables, and those of the JSON files in a folder."""
    files = [CARRIED, *(sorted(folder.glob("*.json")) if folder else ())]
    return [table for file in files for table in _tables(file)]


def _tables(file: Path) -> Iterator[Table]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        for table in content.get("tables", [content]):
            prompts = [*table["prompt_templates"], *table.get("prompt_templates_zs", ())]
            pairs = tuple((pair["subject"], pair["object"]) for pair in table["samples"])
            yield Table(table["name"], tuple(dict.fromkeys(prompts))[:3], pairs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"{file} is no table of facts ({error!r}): it must hold `name`, `prompt_templates` with {{}} and `samples` "
            "of `subject` and `object`"
        ) from None


def table_facts(table: Table, countries: Mapping[str, Country]) -> list[Fact]:
    """The facts of a table about these countries, or its general ones (their path is empty)."""
    objects, subjects = (sum(pair[side] in countries for pair in table.pairs) for side in (1, 0))
    most = len(table.pairs) / 2
    if objects > most:
        return [_named(table, *pair, countries[pair[1]]) for pair in table.pairs if pair[1] in countries]
    if subjects > most:
        return [_about(table, *pair, countries[pair[0]]) for pair in table.pairs if pair[0] in countries]
    return [_general(table, *pair) for pair in table.pairs if pair[1] not in countries]


def _named(table: Table, subject: str, _: str, country: Country) -> Fact:
    return Fact(country.path, table.name, True, subject, country.name, f"{country.name}: {subject}")


def _about(table: Table, _: str, answer: str, country: Country) -> Fact:
    return Fact(country.path, table.name, False, country.in_text, answer, f"{country.name}: {answer}")


def _general(table: Table, subject: str, answer: str) -> Fact:
    return Fact((), table.name, False, subject, answer, f"{table.name}: {subject}")


def prompts_of(tables: Sequence[Table]) -> dict[str, tuple[str, ...]]:
    """Relation -> its ways of asking."""
    return {table.name: table.prompts for table in tables}


def provenance() -> dict[str, Any]:
    """Where the carried tables come from, and under which licence."""
    content = json.loads(CARRIED.read_text(encoding="utf-8"))
    return {key: content[key] for key in ("source", "licence")}
