"""sae-bench's targeted probe perturbation and spurious correlation removal: do a class's latents carry that class?"""

from pathlib import Path

from sae_bench.evals.scr_and_tpp import main as scr_and_tpp
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig

from pipeline.saebench.data import serve_crossed, serve_probing
from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs, identity_sae


def run_tpp(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Ablate the latents of each class: its own probe should fall, the others should stand."""
    wanted = {}
    if job.settings.data == "local":
        wanted["dataset_names"] = serve_probing(job.corpus_dir)
        scr_and_tpp.COLUMN2_VALS_LOOKUP |= dict.fromkeys(wanted["dataset_names"])  # SCR's second attribute; not used
    _run(job, saes, folder, scratch, perform_scr=False, **wanted)


def run_scr(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Train a probe where two attributes always come together, ablate one, and see whether the other is found."""
    wanted = {}
    if job.settings.data == "local":
        wanted = serve_crossed(job)
    _run(job, saes, folder, scratch, perform_scr=True, **wanted)


def _run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path, **wanted) -> None:
    """The throwaway comes first for the reason given in ``sparse_probing.run``."""
    settings = job.settings
    widths = [sae.W_dec.shape[0] for _, sae in saes]
    sizes = [size for size in settings.ablation_sizes if size <= min(widths)]
    common = {
        "model_name": job.model_name,
        "random_seed": settings.seed,
        "train_set_size": settings.probe_train_size,
        "test_set_size": settings.probe_test_size,
        "context_length": settings.context_length,
        "sae_batch_size": settings.sae_batch_size,
        "llm_batch_size": settings.llm_batch_size,
        "llm_dtype": settings.dtype,
        "probe_epochs": settings.probe_epochs,
    } | wanted
    cache = str(scratch / "activations")
    throwaway = ("identity", identity_sae(job, saes[0][1].cfg.d_in))
    warming = ScrAndTppEvalConfig(**common, n_values=[2])
    scr_and_tpp.run_eval(warming, [throwaway], job.device, str(scratch / "identity"), artifacts_path=cache)
    evaluation = ScrAndTppEvalConfig(**common, n_values=sizes)
    # it adds "scr" or "tpp" to the output path, which is the folder's name
    scr_and_tpp.run_eval(evaluation, saes, job.device, str(folder.parent), force_rerun=True, artifacts_path=cache)
