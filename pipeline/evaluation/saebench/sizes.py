"""Section ``evaluation`` in the adapter's own terms."""

import dataclasses

from pipeline.evaluation.saebench.job import BenchSettings
from pipeline.settings.evaluation import EvaluationSettings
from pipeline.settings.run import RunSettings


def bench_settings(settings: EvaluationSettings, shared: RunSettings, device: str) -> BenchSettings:
    """The settings of one worker; what the section does not name keeps sae-bench's own size."""
    named = dataclasses.asdict(settings)
    del named["sae_bench"], named["cut_nodes"]  # which evals, and what is not sae-bench's
    batches = named.pop("core_batches")
    return BenchSettings(
        **named,
        core_reconstruction_batches=batches,
        core_sparsity_batches=batches,
        device=device,
        seed=shared.seed,
        threads=shared.threads,
    )
