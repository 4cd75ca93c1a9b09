"""sae-bench's core eval: loss recovered, sparsity, shrinkage, and one row per latent."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sae_bench.evals.core import main as core
from transformer_lens import HookedTransformer

from pipeline.saebench.data import text_folder
from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs

LOGITS = 1 << 26  # at once; sae-bench holds ten arrays of that size for the KL, 4 bytes each


def run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Write one result file per SAE to ``folder``.

    ``explained_variance`` in it is wrong in sae-bench 0.6 (it takes E[x^2] for the mean); the pipeline reports its own
    beside it. ``explained_variance_legacy`` is the figure of the SAEBench paper.
    """
    text = "Skylion007/openwebtext"
    if job.settings.data == "local":
        text = str(text_folder(job.corpus_dir, scratch / "text", job.settings.seed))
    # A model that can't be loaded says so here, and not after sae-bench's five retries.
    model = HookedTransformer.from_pretrained_no_processing(
        job.model_name, device=job.device, dtype=job.settings.core_dtype
    )
    rows = max(1, LOGITS // (job.settings.context_length * model.cfg.d_vocab_out))
    del model
    core.get_recons_loss = by_rows(core.get_recons_loss, rows)
    complaints = _Complaints()
    logging.getLogger("sae_bench.evals.core.main").addHandler(complaints)
    results = core.multiple_evals(
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


def by_rows(losses: Callable[..., dict[str, torch.Tensor]], rows: int) -> Callable[..., dict[str, torch.Tensor]]:
    """``losses`` of a batch [b, t], which are one number a token each, from ``rows`` sequences at a time."""

    def joined(sae: Any, model: Any, tokens_bt: torch.Tensor, *rest: Any, **named: Any) -> dict[str, torch.Tensor]:
        parts = [losses(sae, model, some, *rest, **named) for some in tokens_bt.split(rows)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    return joined


class _Complaints(logging.Handler):
    """Keeps the error messages that sae-bench logs in the place of an exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
