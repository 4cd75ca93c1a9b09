"""`inspect knowledge` and `inspect layers`: one level of what `prepare` measured, and one sentence where it did not."""

from argparse import Namespace
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.inspection.subjects import look

ROW = {"node": "r/a", "kind": "named", "facts": 3, "known": 2, "choice": 0.8}
TABLE = {"nodes": 2, "chance": {"last": 0.5}, "tfidf": {"last": 0.6}, "layers": [{"layer": -1, "last": 0.7}]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    tables = {"all": [], "region": [ROW], "country": [ROW | {"node": "r/b"}]}
    write_json(tmp_path / "params.yaml", {})
    write_json(tmp_path / "corpus/corpus.json", {"levels": ["region", "country"]})
    write_json(tmp_path / "model/knowledge.json", {"least_known": 0.5, "right": {}, "tables": tables})
    levels = {"region": TABLE | {"nodes": 1}, "country": TABLE}
    write_json(tmp_path / "model/layers.json", {"layers": 1, "items": {"questions": 4}, "levels": levels, "best": 0})
    return tmp_path


def asked(subject: str, level: str | None = None, json: bool = False) -> Namespace:
    return Namespace(subject=subject, level=level, json=json)


def test_the_finest_level_is_shown_unless_another_is_named(data: Path) -> None:
    assert look(data, asked("knowledge")) == {"country": [ROW | {"node": "r/b"}]}
    assert look(data, asked("knowledge", "region")) == {"region": [ROW]}
    shown = look(data, asked("layers"))
    assert (shown["level"], shown["nodes"], shown["auto takes layer"]) == ("country", 2, 0)
    assert [row["layer"] for row in shown["average precision"]] == [-1, "chance", "tfidf"]
    assert look(data, asked("layers", "region"))["nodes"] == 1


@pytest.mark.parametrize("subject", ["knowledge", "layers"])
def test_an_unknown_level_is_named_with_the_known_ones(subject: str, data: Path) -> None:
    with pytest.raises(PipelineError, match="there is no level `contry`; did you mean `country`"):
        look(data, asked(subject, "contry"))


def test_a_model_that_was_not_asked_is_said(data: Path) -> None:
    (data / "model/knowledge.json").unlink()
    with pytest.raises(PipelineError, match=r"`prepare` asked nothing; set `language_model.least_known` above 0"):
        look(data, asked("knowledge"))
