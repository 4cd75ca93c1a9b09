"""Targets are nodes by number, name or path; what unlearning needs on both sides of them must be there."""

import json

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.yaml_text import as_yaml
from pipeline.corpus.targets import check_declared, check_targets, choose_targets
from pipeline.params import resolve
from stages import prepare
from tests.support.settings import ROOT

NODES = {"domain": [["d"]], "topic": [["d", "t"], ["d", "u"]]}
TWINS = {"domain": [["sea"], ["sky"]], "topic": [["sea", "blue"], ["sea", "deep"], ["sky", "blue"]]}


def items(*rows: tuple[str, str]) -> list[dict]:
    return [{"path": ["d", topic], "split": split} for topic, split in rows]


ALL = items(*((topic, split) for topic in "tu" for split in ("train", "dev", "test")))


def test_levels_that_the_corpus_lacks_are_left_out():
    """An overlay that renames the levels inherits the world's targets."""
    assert choose_targets(NODES, {"domain": 0, "topic": 1, "entity": 43}) == {"domain": ("d",), "topic": ("d", "u")}


@pytest.mark.parametrize("meant", [1, "deep", ("sea", "deep"), ["sea", "deep"]])
def test_a_node_is_meant_by_its_number_its_name_or_its_path(meant):
    assert choose_targets(TWINS, {"topic": meant}) == {"topic": ("sea", "deep")}


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"topic": 3}, r"`unlearning\.targets\.topic` is 3, but there are 3 nodes of that level, numbered from 0"),
        ({"topic": "dep"}, r"topic` is 'dep', which no node of that level is; the nearest: deep"),
        ({"topic": "zzz"}, r"which no node of that level is; it has blue, deep"),
        ({"topic": ("sky", "deep")}, r"is \[sky, deep\], which no node of that level is; the nearest: "),
        ({"domain": "deep"}, r"domain` is 'deep', which no node of that level is; "),  # of another level
        ({"topic": "blue"}, r"'blue', which 2 nodes are called; give a path: \[sea, blue\], \[sky, blue\]"),
        ({"tpoic": 0}, "names no level of this corpus, which has domain, topic"),
    ],
)
def test_targets_that_do_not_exist_are_refused(chosen, sentence):
    with pytest.raises(PipelineError, match=sentence):
        choose_targets(TWINS, chosen)


PATHS = [("law", "tort"), ("law",), ("people", "author_{block}"), ()]


@pytest.mark.parametrize("meant", ["tort", "author_12", ("people", "author_0"), 99])
def test_what_sources_may_bring_about_is_not_refused_before_they_are_read(meant):
    check_declared(["field", "topic"], PATHS, {"topic": meant})


@pytest.mark.parametrize("meant", ["tart", "author_x", ("law", "author_1"), ("author_1",), "law"])
def test_what_no_source_can_bring_about_is_refused_before_they_are_read(meant):
    with pytest.raises(PipelineError, match=r"`unlearning.targets.topic` is .* which no node of that level is"):
        check_declared(["field", "topic"], PATHS, {"topic": meant})


@pytest.mark.parametrize(
    ("texts", "probes", "sentence"),
    [
        (
            ALL,
            items(("u", "dev"), ("u", "test")),
            "too few probes inside the topic to forget, d/t: none for dev and test",
        ),
        (items(("t", "train"), ("t", "dev"), ("t", "test")), ALL, "too few texts outside the topic"),
        (items(("t", "train"), ("u", "train"), ("u", "dev"), ("u", "test")), ALL, "none for dev and test"),
    ],
)
def test_a_target_without_its_splits_is_refused(texts, probes, sentence):
    check_targets({"topic": ("d", "t")}, ALL, ALL)
    with pytest.raises(PipelineError, match=sentence):
        check_targets({"topic": ("d", "t")}, texts, probes)


def test_prepare_refuses_a_block_that_is_not_there_before_the_model_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"Fact {i}.", "question": f"Q{i}?", "answer": f"A{i}"} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data").mkdir()
    source = {"file": "a.jsonl", "path": ["author_{block}"], "lines_per_block": 20}
    corpus = {"source": "files", "levels": ["author"]}
    corpus |= {key: [source] for key in ("training_text", "texts", "probes")}
    corpus["probes"] = [source | {"documents": 22}]  # of author_1 the first two questions only
    for target, said in (("2", r"'author_2', which no node .* the nearest: author_"), ("1", "has too few probes")):
        mine = {"corpus": corpus, "unlearning": {"targets": {"author": f"author_{target}"}}}
        params = resolve(ROOT / "params.yaml", tmp_path, None, [mine]).params
        (tmp_path / "data/params.yaml").write_text(as_yaml({**params.plain(), "inputs": {}}))
        with pytest.raises(PipelineError, match=said):
            prepare.main()
        assert not (tmp_path / "data/corpus").exists() and not (tmp_path / "data/model").exists()
