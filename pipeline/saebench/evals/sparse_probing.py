"""sae-bench's sparse probing: how well k latents separate the classes of labelled texts."""

from dataclasses import replace
from pathlib import Path

from sae_bench.evals.sparse_probing import main as sparse_probing
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig

from pipeline.core.errors import PipelineError
from pipeline.saebench.data import serve_probing
from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs, identity_sae


def config(job: Job, dataset_names: list[str] | None) -> SparseProbingEvalConfig:
    """sae-bench's configuration; without names its own eight data sets."""
    wanted = {"dataset_names": dataset_names} if dataset_names is not None else {}
    return SparseProbingEvalConfig(
        model_name=job.model_name,
        random_seed=job.settings.seed,
        probe_train_set_size=job.settings.probe_train_size,
        probe_test_set_size=job.settings.probe_test_size,
        context_length=job.settings.context_length,
        sae_batch_size=job.settings.sae_batch_size,
        llm_batch_size=job.settings.llm_batch_size,
        llm_dtype=job.settings.dtype,
        k_values=list(job.settings.k_values),
        **wanted,
    )


def run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Write one result file per SAE to ``folder``.

    sae-bench trains the language model's own probes when it first sees a data set, which draws random numbers; an SAE
    that comes first is then scored with other probe data than one that comes later (0.92 against 0.95 was seen). So a
    throwaway comes first, here the identity, and every SAE that counts meets a filled cache and the same numbers.
    """
    names = serve_probing(job.corpus_dir) if job.settings.data == "local" else None
    width = min(min(sae.W_dec.shape) for _, sae in saes)
    kept = tuple(k for k in job.settings.k_values if k <= width)  # sae-bench fails on a k beyond the width
    if not kept:
        raise PipelineError(f"every k of `k_values` {list(job.settings.k_values)} is beyond the width {width}")
    job = replace(job, settings=replace(job.settings, k_values=kept))
    cache = str(scratch / "activations")
    throwaway = ("identity", identity_sae(job, saes[0][1].cfg.d_in))
    evaluation = config(job, names)
    sparse_probing.run_eval(evaluation, [throwaway], job.device, str(scratch / "identity"), artifacts_path=cache)
    sparse_probing.run_eval(evaluation, saes, job.device, str(folder), force_rerun=True, artifacts_path=cache)
