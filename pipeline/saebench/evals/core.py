"""sae-bench's core eval: loss recovered, sparsity, shrinkage, and one row per latent."""

import logging
from pathlib import Path

from sae_bench.evals.core.main import multiple_evals
from transformer_lens import HookedTransformer

from pipeline.saebench.data import text_folder
from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs


def run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Write one result file per SAE to ``folder``.

    ``explained_variance`` in it is wrong in sae-bench 0.6 (it takes E[x^2] for the mean); the pipeline reports its own
    beside it. ``explained_variance_legacy`` is the figure of the SAEBench paper.
    """
    text = "Skylion007/openwebtext"
    if job.settings.data == "local":
        text = str(text_folder(job.corpus_dir, scratch / "text", job.settings.seed))
    # A model that can't be loaded says so here, and not after sae-bench's five retries.
    HookedTransformer.from_pretrained_no_processing(job.model_name, device=job.device, dtype=job.settings.core_dtype)
    complaints = _Complaints()
    logging.getLogger("sae_bench.evals.core.main").addHandler(complaints)
    results = multiple_evals(
        selected_saes=saes,
        n_eval_reconstruction_batches=job.settings.core_reconstruction_batches,
        n_eval_sparsity_variance_batches=job.settings.core_sparsity_batches,
        eval_batch_size_prompts=16,
        compute_featurewise_density_statistics=True,
        compute_featurewise_weight_based_metrics=True,
        exclude_special_tokens_from_reconstruction=True,
        dataset=text,
        context_size=job.settings.context_length,
        output_folder=str(folder),
        dtype=job.settings.core_dtype,
        device=job.device,
        force_rerun=True,
    )
    if len(results) != len(saes):  # it logs an error and goes on to the next SAE
        raise RuntimeError("; ".join(complaints.messages) or "sae-bench gave no result and no reason")


class _Complaints(logging.Handler):
    """Keeps the error messages that sae-bench logs in the place of an exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
