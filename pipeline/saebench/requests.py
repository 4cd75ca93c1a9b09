"""The edits that ``unlearn`` made, as sae-bench sees them: the dictionary with latents rewritten.

Section ``evaluation`` in the adapter's own terms.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.settings import RunSettings
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.saebench.job import BenchSettings, Edit
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


def bench_settings(settings: EvaluationSettings, shared: RunSettings, device: str) -> BenchSettings:
    """The settings of one worker; what the section does not name keeps sae-bench's own size.

    On sae-bench's own data sets its seed stays too (42, which the seed's baseline has): else figures would differ from
    published ones by the draw of the texts.
    """
    named = dataclasses.asdict(settings)
    del named["sae_bench"], named["sae_bench_edits"], named["cut_nodes"]  # which, on what, and what is not sae-bench's
    batches = named.pop("core_batches")
    return BenchSettings(
        **named,
        **({"seed": shared.seed} if settings.data == "local" else {}),
        core_reconstruction_batches=batches,
        core_sparsity_batches=batches,
        device=device,
        threads=shared.threads,
    )
