"""Cells of few-shot forgetting: two labelled entities a node; how far does forgetting reach the others, and no further?

Arms: ``npo`` has the labelled entities alone, ``scope_npo_<retriever>`` also what that retriever finds in the pool.
Asked are the target's unlabelled entities, and what must stay among the unlabelled of the other nodes.
"""

import numpy as np

from pipeline.corpus.targets import relations
from pipeline.evaluation.forgetting import Exam
from pipeline.evaluation.statistics import Figures
from pipeline.scope import names
from pipeline.unlearning.case import Case
from pipeline.unlearning.weights.few_shot import completed, labelled_entities

RETRIEVERS = [name for name in (*names.RETRIEVERS, *names.CONTROLS) if name != "tfidf"]  # which finds next to nothing
ARMS = ("npo", *(f"scope_npo_{name}" for name in RETRIEVERS))


def few_shot_cell(exam: Exam, case: Case, arm: str, given: int) -> dict:
    """``{"means", "stderrs"}``: ``unseen_*``, ``sibling_drop`` and ``other_drop`` on unlabelled entities."""
    retriever = None if arm == "npo" else arm.removeprefix("scope_npo_")
    edit = completed(case, given, retriever, case.settings.few_shot.documents)
    known = {path for paths in labelled_entities(case, given).values() for path in paths}
    probes, after, figures = exam.bench.probes, exam.bench.measure(edit), Figures(case.seed)
    unknown = np.array([probe["split"] == "test" and tuple(probe["path"]) not in known for probe in probes])
    of_probe = np.array(relations(probes, case.target))
    lost = (exam.before.cloze_q - after.cloze_q).numpy()
    for name, wanted, values, scale in (
        ("unseen_mcq", "forget", after.choice_q.numpy(), 1),
        ("unseen_cloze", "forget", after.cloze_q.numpy(), 1),
        ("sibling_drop", "sibling", lost, 100),
        ("other_drop", "other", lost, 100),
    ):
        chosen = np.flatnonzero(unknown & (of_probe == wanted))
        ids, facts = ([probes[i][key] for i in chosen] for key in ("id", "fact"))
        figures.mean(name, ids, values[chosen], facts, scale)
    return {"means": figures.means, "stderrs": figures.stderrs, "settings": edit.settings}
