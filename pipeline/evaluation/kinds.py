"""Kinds of question scored apart, and what was known before.

An edit that makes a model fail *copying* has not made it forget a fact: it has taken a word away. An edit after which
questions answered by the target's name fail while others about it succeed has hidden the name only. And a question that
the unedited model failed says nothing about an edit.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.corpus.targets import COPYING
from pipeline.evaluation.statistics import Figures
from pipeline.language_model.known import fact_of, facts_known

KINDS = ("named", "otherwise", COPYING)
RELATIONS = ("forget", "sibling", "other", "general")


def kind_figures(
    figures: Figures, probes: Sequence[dict], before_q: np.ndarray, after_q: np.ndarray, of_probe: np.ndarray
) -> None:
    """Share of right options after an edit: ``<relation>_<kind>_mcq``, and ``<relation>_known_mcq`` on what was known.

    Only a corpus whose probes are of these kinds has the figures.
    """
    kind = np.array([probe["kind"] for probe in probes])
    if not np.isin(kind, KINDS).any():
        return
    tested = np.array([probe["split"] in ("test", "copying") for probe in probes])
    known = known_probes(probes, before_q)
    for relation in RELATIONS:
        of = np.isin(of_probe, (relation, COPYING) if relation == "forget" else relation) & tested
        for name in KINDS:
            _share(figures, f"{relation}_{name}_mcq", probes, after_q, of & (kind == name))
        _share(figures, f"{relation}_known_mcq", probes, after_q, of & known & (kind != "copying"))


def known_probes(probes: Sequence[dict], right_q: np.ndarray) -> np.ndarray:
    """Which probes ask for a fact that is known: right in two of its three paraphrases."""
    right = {probe["id"]: bool(value) for probe, value in zip(probes, right_q, strict=True)}
    known = {(fact.path, fact.kind, fact.fact) for fact in facts_known(probes, right) if fact.known}
    return np.array([fact_of(probe) in known for probe in probes])


def _share(figures: Figures, name: str, probes: Sequence[dict], right_q: np.ndarray, where: np.ndarray) -> None:
    chosen = np.flatnonzero(where)
    if len(chosen):
        ids, facts = ([probes[i][key] for i in chosen] for key in ("id", "fact"))
        figures.mean(name, ids, right_q[chosen], facts)
