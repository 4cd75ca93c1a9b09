"""Targets are numbers of nodes; what unlearning needs on both sides of them must be there."""

import pytest

from pipeline.core.errors import PipelineError
from pipeline.corpus.targets import check_targets, choose_targets

NODES = {"domain": [["d"]], "topic": [["d", "t"], ["d", "u"]]}


def items(*rows: tuple[str, str]) -> list[dict]:
    return [{"path": ["d", topic], "split": split} for topic, split in rows]


ALL = items(*((topic, split) for topic in "tu" for split in ("train", "dev", "test")))


def test_levels_that_the_corpus_lacks_are_left_out():
    """An overlay that renames the levels inherits the world's targets."""
    assert choose_targets(NODES, {"domain": 0, "topic": 1, "entity": 43}) == {"domain": ("d",), "topic": ("d", "u")}


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"topic": 2}, r"`unlearning\.targets\.topic` is 2, but there are 2 nodes of that level"),
        ({"tpoic": 0}, "names no level of this corpus, which has domain, topic"),
    ],
)
def test_targets_that_do_not_exist_are_refused(chosen, sentence):
    with pytest.raises(PipelineError, match=sentence):
        choose_targets(NODES, chosen)


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
