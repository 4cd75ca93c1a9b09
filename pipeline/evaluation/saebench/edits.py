"""The edits that ``unlearn`` made, as sae-bench sees them: the dictionary with latents rewritten."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.evaluation.saebench.job import Edit
from pipeline.unlearning.edit import load_edit


def edits_of(unlearning: Path, names: Sequence[str]) -> dict[str, Edit]:
    """By name, ``subtree/topic`` say, those of ``names`` that were made; a run need not have every method or level.

    Only an edit of latents is one of the dictionary: guards act on whole sequences, and weights are not sae-bench's.
    """
    found = {}
    for name in names:
        if not (unlearning / name / "edit.json").exists():
            continue
        edit = load_edit(unlearning / name)
        if edit.guard is not None or edit.shift is not None or edit.weights or not len(edit.latents):
            raise PipelineError(
                f"evaluation.sae_bench_edits has {name}, which does more than rewrite latents; sae-bench evaluates "
                "dictionaries, so name an edit that clamps or scales latents, such as subtree/topic"
            )
        columns = (edit.latents.tolist(), edit.values.tolist(), edit.factors.tolist())
        found[name.replace("/", "_")] = Edit(*map(tuple, columns))
    return found
