"""Questions of other kinds about the same facts, and what their tables say."""

from pathlib import Path

import pytest

import studies.atlas.__main__ as door
from pipeline.core.errors import PipelineError
from pipeline.core.yaml_text import as_yaml
from pipeline.params import resolve
from studies.atlas import generalisation
from studies.atlas.lasting_tables import generalisation as reach_table
from studies.atlas.lasting_tables import robustness as lasting_table

ROOT = Path(__file__).resolve().parents[2]
NAMES = "Italy", "Spain", "Greece", "Norway", "Chad"
CAPITALS = dict(zip(NAMES, ("Rome", "Madrid", "Athens", "Oslo", "N'Djamena"), strict=True))


def fact(relation: str, country: str, subject: str, answer: str, options: tuple[str, ...]) -> dict:
    path = ["africa" if country == "Chad" else "europe", country]
    return {
        "relation": relation, "fact": f"{country}: {subject}", "subject": subject, "answer": answer, "path": path,
        "options": [answer, *(option for option in options if option != answer)][:4],
    }  # fmt: skip


@pytest.fixture
def probes() -> list[dict]:
    capitals = tuple(CAPITALS.values())
    found = [fact("capital", name, name, capital, capitals) for name, capital in CAPITALS.items()]
    found += [fact("city", name, f"Port of {name}", name, NAMES) for name in NAMES]
    found.append(fact("currency", "Italy", "Italy", "euro", ("krone", "franc", "dinar")))
    return [probe for probe in found for _ in range(3)]  # three paraphrases


def test_facts_are_asked_once_in_every_other_kind(probes, monkeypatch) -> None:
    monkeypatch.setattr(generalisation, "country_names", lambda language: lambda name: f"{name} ({language})")
    asked = [q for q in generalisation.questions(probes, 0) if q["path"][1] == "Italy"]
    prompts = {q["kind"]: q["prompt"] for q in asked}
    assert prompts["reversed"] == "A city in Italy is"
    assert [q["prompt"] for q in asked if q["kind"] == "two-hop"] == [
        "The capital of the country where Port of Italy lies is",
        "The currency of the country whose capital is Rome is the",
    ]
    french = next(q for q in asked if q["kind"] == "fr")
    assert french["prompt"] == "Port of Italy est une ville de ce pays :" and french["answer"] == "Italy (fr)"
    for question in asked:
        assert question["answer"] in question["options"] and len(set(question["options"])) == 4


def test_names_that_no_language_has_are_left_out(probes, monkeypatch) -> None:
    monkeypatch.setattr(generalisation, "country_names", lambda _: lambda name: None if name == "Norway" else name)
    asked = [q for q in generalisation.questions(probes, 0) if q["kind"] == "de"]
    assert asked and all("Norway" not in question["options"] for question in asked)


def test_all_of_the_target_and_some_of_the_rest_is_asked(monkeypatch) -> None:
    monkeypatch.setattr(generalisation, "MOST", 2)
    asked = [{"kind": "fr", "path": ["europe", name]} for name in ("Italy",) * 5 + ("Spain",) * 5]
    found = generalisation.some(asked, ("europe", "Italy"), 0)
    assert [probe["path"][1] for probe in found] == ["Italy"] * 5 + ["Spain"] * 2


def test_a_missing_babel_is_a_sentence(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "babel", None)
    with pytest.raises(PipelineError, match="--with babel"):
        generalisation.country_names("fr")


def test_a_run_without_countries_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(door, "DATA", tmp_path)
    (tmp_path / "params.yaml").write_text(as_yaml(resolve(ROOT / "params.yaml", ROOT / "runs", None).params.plain()))
    with pytest.raises(PipelineError, match="holds no run on the atlas of countries; make one"):
        door.main(["trees"])


def test_tables_say_how_many_were_known() -> None:
    shares = {"forget/fr": {"right": 0.5, "known": 8, "asked": 9}, "other/fr": {"right": 1.0, "known": 3, "asked": 3}}
    rows = [{"method": "none", "shares": shares}, {"method": "npo", "shares": shares}]
    assert "target: French (8)" in reach_table({"rows": rows}) and "`npo` | 0.50 |" in reach_table({"rows": rows})
    rows = [{"method": "npo", "shares": {"start": 0.2, "taught, 10 steps": 0.5}}]
    assert lasting_table({"rows": rows}).splitlines()[-1] == "| `npo` | 0.20 | 0.50 |"
