"""sae-bench's unlearning eval (WMDP-bio against MMLU), exactly as published, and the corrected score beside it."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sae_bench.evals.unlearning import main as unlearning
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.utils import eval as one_sae

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.saebench.evals.unlearning_score import Run, corrected_score
from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs

FORGET = "wmdp-bio"
RETAIN = ("high_school_us_history", "college_computer_science", "high_school_geography", "human_aging")
NEIGHBOUR = "college_biology"  # sae-bench asks for its ids but never scores it
_CORPUS = Path("sae_bench/evals/unlearning/data/bio-forget-corpus.jsonl")  # relative to the working directory
_EVAL_FOLDER = "unlearning"


def run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Write sae-bench's result and ``<name>_corrected.json`` per SAE to ``folder``.

    "sae" is sae-bench's own choice of latents, by firing frequency. For an edit the SAE is the same and only the
    ranking differs: the edit's latents in their order, so that a tree's groups go through the same sizes, multipliers
    and scoring code as the flat choice.
    """
    name = job.model_name.split("/")[-1]  # sae-bench knows its prompts by this name
    if name not in ("gemma-2-2b-it", "gemma-2-9b-it"):
        raise PipelineError(f"sae-bench's unlearning eval needs google/gemma-2-2b-it, not {job.model_name}")
    corpus = _forget_corpus(job)
    _CORPUS.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(corpus, _CORPUS)
    artifacts = scratch / "artifacts"
    if job.settings.question_ids:
        shutil.copytree(job.settings.question_ids, artifacts / _EVAL_FOLDER / job.model_name / "data/question_ids")
    evaluation = UnlearningEvalConfig(
        model_name=job.model_name,
        random_seed=job.settings.seed,
        dataset_names=[FORGET, *RETAIN, NEIGHBOUR],
        dataset_size=job.settings.unlearning_sequences,
        seq_len=job.settings.unlearning_length,
        llm_batch_size=max(1, job.settings.llm_batch_size // 8),  # sequences are eight times as long
        llm_dtype=job.settings.dtype,
    )
    published, calculate = one_sae.get_top_features, one_sae.calculate_metrics_list
    plain = dict(saes)["sae"]
    for sae_name, _ in saes:
        edit = job.edits.get(sae_name)
        runs: list[Run] = []
        one_sae.get_top_features = published if edit is None else _ranking(edit.latents)
        one_sae.calculate_metrics_list = _recording(calculate, runs)
        unlearning.run_eval(
            evaluation, [(sae_name, plain)], job.device, str(folder), force_rerun=True, artifacts_path=str(artifacts)
        )
        score = corrected_score(runs, FORGET, RETAIN, NEIGHBOUR, job.settings.seed)
        write_json(folder / f"{sae_name}_corrected.json", score)


def _forget_corpus(job: Job) -> Path:
    path = Path(job.settings.forget_corpus)
    if not path.is_file():
        raise PipelineError(
            "sae-bench's unlearning eval needs the gated bio-forget-corpus.jsonl (cais/wmdp-bio-forget-corpus: accept "
            "its terms on the hub, download it, and give its path as `forget_corpus`)"
        )
    return path


def _ranking(latents: tuple[int, ...]):
    """A stand-in for sae-bench's choice of latents: the given ones, whatever fires where."""
    return lambda forget_score, retain_score, retain_threshold=0.01: np.array(latents, dtype=np.int64)


def _recording(calculate: Callable, runs: list[Run]) -> Callable:
    """sae-bench's sweep over settings, with the answers to every question kept in ``runs``."""

    def calculate_and_record(model, batch_size, sae, fixed, sweep, *args, retain_threshold, **kwargs):
        results = calculate(model, batch_size, sae, fixed, sweep, *args, retain_threshold=retain_threshold, **kwargs)
        settings = itertools.product(sweep["features_to_ablate"], sweep["multiplier"])
        for (latents, multiplier), metrics in zip(
            settings, results[1:], strict=True
        ):  # the first is the unedited model
            right = {subject: np.asarray(values["is_correct"]) > 0 for subject, values in metrics.items()}
            name = f"retain_threshold {retain_threshold}, {len(latents)} latents, multiplier {multiplier}"
            runs.append(Run(name, len(latents), float(multiplier), right))
        return results

    return calculate_and_record
