"""sae-bench's feature absorption (first letters of words). Only a model of about 1B parameters or more can spell."""

import functools
import random
from pathlib import Path

import torch
from sae_bench.evals.absorption import main as absorption
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig

from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs


def run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Write one result file per SAE to ``folder``; sae-bench leaves none where the model can't spell."""
    keep_out_of_site_packages(scratch)
    random.seed(job.settings.seed)  # sae-bench draws words and prompts from the global stream and seeds nothing here
    torch.manual_seed(job.settings.seed)
    evaluation = AbsorptionEvalConfig(
        model_name=job.model_name,
        random_seed=job.settings.seed,
        llm_batch_size=job.settings.llm_batch_size,
        llm_dtype=job.settings.dtype,
    )
    results = absorption.run_eval(evaluation, saes, job.device, str(folder), force_rerun=True)
    if len(results) != len(saes):
        raise RuntimeError(
            f"sae-bench found no first-letter features: {job.model_name} can't spell (it takes about 1B parameters)"
        )


def keep_out_of_site_packages(scratch: Path) -> None:
    """sae-bench keeps absorption's probes inside its own package, by model name; give them a folder of this job."""
    folders = {"experiment_dir": scratch / "sparse_probing", "probes_dir": scratch / "probes"}
    absorption.run_k_sparse_probing_experiment = functools.partial(
        absorption.run_k_sparse_probing_experiment, **folders
    )
    absorption.run_feature_absortion_experiment = functools.partial(
        absorption.run_feature_absortion_experiment,
        experiment_dir=scratch / "absorption",
        probes_dir=scratch / "probes",
        sparse_probing_experiment_dir=scratch / "sparse_probing",
    )
