"""NPO on a forget set that a few examples are completed to: find the rest of the concept, then remove it.

Only ``few_shot.given`` entities of each node are labelled (see ``few_shot.py``); the retriever finds the text of the
others in the pool. Then NPO with calibration as in ``npo``. Nothing is chosen on dev, whose probes ask what is not
labelled: the trained model at full strength is the edit.
"""

from pipeline.core.errors import PipelineError
from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.weights.few_shot import few_shot_lesson
from pipeline.unlearning.weights.npo import preferring
from pipeline.unlearning.weights.training import trained, weight_edits


def choose(case: Case) -> Choice:
    """One training run on what the retriever found."""
    settings = case.settings.few_shot
    return sweep(case, [completed(case, settings.given, settings.retriever, settings.documents)])


def completed(case: Case, given: int, retriever: str | None, found: int) -> Edit:
    """The edit from ``given`` labelled entities a node and up to ``found`` documents by a retriever (None: by none)."""
    if case.documents is None or len(case.target) == max(len(row["path"]) for row in case.documents.rows):
        raise PipelineError(
            f"scope_npo completes nodes with parts; the target {'/'.join(case.target)} has none in the pool"
        )
    lesson, settings = few_shot_lesson(case, given, retriever, found), case.settings.scope_npo
    model = trained(case, lesson, settings, preferring(settings.beta))
    (edit,) = weight_edits(case, "scope_npo", (1.0,), model)
    return edit._replace(settings=edit.settings | {"given": given, "retriever": retriever, "documents": found})
