"""Kinds of question are scored apart, and on what was known before."""

import numpy as np

from pipeline.evaluation.kinds import kind_figures, known_probes
from pipeline.evaluation.statistics import Figures


def probe(number: int, kind: str, fact: str, split: str = "test") -> dict:
    return {"id": f"{fact}{kind}{number}", "kind": kind, "fact": fact, "path": ["r", "a"], "split": split} | {
        "answer": "x",
        "subject": fact,
    }


PROBES = [
    *(probe(i, "named", "f") for i in range(3)),
    *(probe(i, "otherwise", "g") for i in range(3)),
    probe(0, "copying", "c", "copying"),
    probe(0, "named", "h", "novel"),
]
OF = np.array(["forget"] * 8)


def test_a_probe_is_known_by_its_fact() -> None:
    right = np.array([1, 1, 0, 1, 0, 0, 1, 0])
    assert known_probes(PROBES, right).tolist() == [True] * 3 + [False] * 3 + [True, False]


def test_each_kind_has_its_figure() -> None:
    figures = Figures(0)
    before = np.array([1.0, 1, 0, 1, 0, 0, 1, 1])
    after = np.array([0.0, 0, 1, 1, 1, 0, 0, 1])
    kind_figures(figures, PROBES, before, after, OF)
    means = figures.as_dict()["means"]
    assert means["forget_named_mcq"] == 1 / 3, "the novel probe does not count"
    assert means["forget_otherwise_mcq"] == 2 / 3
    assert means["forget_copying_mcq"] == 0.0
    assert means["forget_known_mcq"] == 1 / 3, "of the fact that was known"


def test_other_corpora_have_none() -> None:
    figures = Figures(0)
    kind_figures(figures, [probe(0, "template_1", "f")], np.ones(1), np.ones(1), OF[:1])
    assert not figures.as_dict()["means"]
