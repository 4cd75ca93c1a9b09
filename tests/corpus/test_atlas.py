"""The atlas: fields become facts, facts questions whose options do not give the answer away, pages passages."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_jsonl
from pipeline.corpus.atlas.factbook import plain, read_factbook
from pipeline.corpus.atlas.facts import cities_of, factbook_facts
from pipeline.corpus.atlas.probes import COPYING
from pipeline.corpus.atlas.tables import CARRIED, read_tables, table_facts
from pipeline.corpus.atlas.write import open_atlas, write_atlas
from pipeline.corpus.settings import AtlasSettings
from pipeline.corpus.targets import check_targets
from tests.support.settings import recommended
from tests.support.small_atlas import write_places


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AtlasSettings:
    places = write_places(tmp_path_factory.mktemp("places"))
    return recommended(AtlasSettings, **places, most_articles=20, passage_characters=200)


@pytest.fixture(scope="module")
def written(settings: AtlasSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("corpus")
    return write_atlas(settings, 0, folder), folder


def rows(written: tuple[dict, Path], name: str) -> list[dict]:
    return list(read_jsonl(written[1] / f"{name}.jsonl"))


def test_fields_become_facts(settings: AtlasSettings) -> None:
    italy = next(c for c in read_factbook(Path(settings.factbook)) if c.name == "Italy")
    told = {(f.relation, f.subject if f.named else f.answer) for f in factbook_facts([italy]) if f.path == italy.path}
    assert told >= {
        ("capital", "Rome"),
        ("capital of", "Rome"),
        ("largest city", "Rome"),
        ("city", "Milan"),
        ("language", "Italian"),
        ("currency", "euro"),
        ("nationality", "Italian"),
        ("export", "medicine"),
    }
    assert ("city", "Rome") not in told, "the capital is a fact of its own"


@pytest.mark.parametrize(
    ("text", "cities"),
    [
        ("4.316 million ROME (capital), 913,000 Bergamo (2023)", ["Rome", "Bergamo"]),
        ("18.937 million New York-Newark, 6.574 million Dallas-Fort Worth", ["New York", "Dallas"]),
        ("1.3 million Pointe-Noire", ["Pointe-Noire"]),
        ("1.0 million Southampton/Portsmouth", []),
        ("", []),
    ],
)
def test_cities_are_read_from_a_list_with_populations(text: str, cities: list[str], settings: AtlasSettings) -> None:
    italy = read_factbook(Path(settings.factbook))[0]
    assert cities_of(italy._replace(fields={"Major urban areas - population": text})) == cities


def test_markup_and_capitals_go() -> None:
    text = plain("<p>King Victor EMMANUEL II left NATO&rsquo;s<br>camp</p>")
    assert text == "King Victor Emmanuel II left NATO\u2019s camp"


def test_options_hold_the_answer_once_and_nothing_else_that_is_right(written: tuple[dict, Path]) -> None:
    for probe in rows(written, "probes"):
        assert len(set(probe["options"])) == 4 and probe["options"].count(probe["answer"]) == 1
        if probe["kind"] == "named":
            assert probe["answer"] not in probe["prompt"]
        if probe["kind"] == "copying":
            assert probe["answer"] in probe["prompt"]
        if probe["path"]:
            assert probe["subject"] in probe["prompt"]


def test_facts_and_paraphrases_are_kept_apart(written: tuple[dict, Path]) -> None:
    splits: dict[str, Counter] = {}
    for probe in rows(written, "probes"):
        splits.setdefault(probe["fact"], Counter())[probe["split"]] += 1
    kinds = {tuple(sorted(found)) for found in splits.values()}
    copied = ("copying", "copying_dev", "copying_train")
    assert kinds == {("novel", "train"), ("dev",), ("test",), ("train",), copied}, "general facts have no novel"


def test_names_are_copied_from_other_sentences_in_every_split() -> None:
    frames = [frame for ways in COPYING.values() for frame in ways]
    assert len(set(frames)) == len(frames)
    assert all(frame.startswith("{}") or " {}" in frame or "'{}'" in frame for frame in frames)
    assert not any(frame.rstrip().endswith("{}") for frame in frames), "the answer is to be given, not read"


def test_targets_have_what_unlearning_needs(written: tuple[dict, Path]) -> None:
    corpus, _ = written
    assert corpus["levels"] == ["region", "country"]
    assert ["europe", "Italy"] in corpus["nodes"]["country"]
    targets = {"region": ("south-america",), "country": ("europe", "Italy")}
    check_targets(targets, rows(written, "texts"), rows(written, "probes"))


def test_pages_are_passages_of_bounded_length(written: tuple[dict, Path], settings: AtlasSettings) -> None:
    pages = [row for row in rows(written, "train") if row["path"]]
    assert max(len(row["text"]) for row in pages) <= settings.passage_characters
    assert {row["kind"] for row in rows(written, "train") if not row["path"]} == {"sport", "business"}
    beginning = sum(row["text"].startswith(row["path"][-1]) for row in pages)
    assert beginning < len(pages) / 4, "a passage does not give its country away by its first word"


def test_the_carried_tables_name_countries_and_general_things() -> None:
    tables = {table.name: table for table in read_tables(None)}
    assert CARRIED.stat().st_size < 100_000
    assert len(tables["landmark in country"].pairs) == 836
    assert not [fact for fact in table_facts(tables["object superclass"], {}) if fact.path]


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"name": "x"}')
    with pytest.raises(PipelineError, match=r"bad.json is no table of facts"):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"factbook": "package:no-such-atlas/data"}, "`atlas.factbook` needs the Python package no-such-atlas"),
        ({"factbook": "/no/such"}, "there is no folder /no/such"),
        ({"fewest_facts": 99}, "fewer than two regions have so many"),
    ],
)
def test_what_is_missing_is_said(change: dict, said: str, settings: AtlasSettings) -> None:
    with pytest.raises(PipelineError, match=said):
        open_atlas(settings.but(**change), 0)
