"""Section ``evaluation`` in the adapter's own terms."""

import dataclasses

from pipeline.evaluation.saebench.job import BenchSettings
from pipeline.settings.evaluation import EvaluationSettings
from pipeline.settings.run import RunSettings


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
