"""sae-bench's second sparse probing, through the package sae-probes: binary tasks, probes tuned by cross-validation."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from sae_bench.evals.sparse_probing_sae_probes import main as sae_probes
from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_probes import generate_model_activations, utils_data

from pipeline.core.errors import PipelineError
from pipeline.saebench.data import balanced, read_probing
from pipeline.saebench.job import Job
from pipeline.saebench.sae import NamedSAEs

# sae-probes trains on up to 1024 texts and tests on the rest, but on a hundred at least.
MIN_TEXTS, MAX_TEXTS = 140, 1400

# Short texts from different domains, out of the 113 sets in the wheel (all of them take hours on a CPU).
SHORT = (
    "23_headline_ischina",
    "105_click_bait",
    "119_us_state_TX",
    "149_twt_emotion_happiness",
    "155_athlete_sport_basketball",
)


def run(job: Job, saes: NamedSAEs, folder: Path, scratch: Path) -> None:
    """Write one result file per SAE to ``folder``. The model and the SAE are in float32 here."""
    local = job.settings.data == "local"
    names = serve_tasks(job, scratch / "data") if local else list(SHORT)
    evaluation = SparseProbingSaeProbesEvalConfig(
        model_name=job.model_name,
        random_seed=job.settings.seed,
        dataset_names=names,
        ks=list(job.settings.k_values),
        results_path=str(scratch / "results"),
        model_cache_path=str(scratch / "activations"),
    )
    sae_probes.run_eval(evaluation, saes, job.device, str(folder), force_rerun=True)


def serve_tasks(job: Job, folder: Path) -> list[str]:
    """From now on sae-probes finds one binary task per data set of ``probing.jsonl``; returns the tasks' names."""
    index, names = [], []
    for number, (tag, table) in enumerate(_binary(job)):
        name = f"{number}_{tag}"
        path = folder / "cleaned_data" / f"{name}.csv.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
        index.append({"Dataset Tag": tag, "Dataset save name": f"cleaned_data/{name}.csv"})
        utils_data.get_dataset_sizes()[name] = len(table)  # cached: one dictionary for all of sae-probes
        names.append(name)
    for module in (generate_model_activations, utils_data):
        module.DATA_PATH = folder
    utils_data.get_binary_df = lambda: pd.DataFrame(index)
    return names


def _binary(job: Job) -> Iterator[tuple[str, pd.DataFrame]]:
    """The first label of each data set against its others, half and half; sae-probes splits train from test itself."""
    for dataset, splits in read_probing(job.corpus_dir).items():
        texts = {label: of_label + splits["test"][label] for label, of_label in splits["train"].items()}
        label = next(iter(texts))
        rest = [text for other, of_other in texts.items() if other != label for text in of_other]
        sides = balanced({"1": texts[label], "0": rest}, MAX_TEXTS // 2, job.settings.seed)
        if 2 * len(sides["1"]) < MIN_TEXTS:
            path = job.corpus_dir / "probing.jsonl"
            raise PipelineError(f"{path}: {dataset} has fewer than {MIN_TEXTS // 2} texts of {label}")
        rows = [{"prompt": text, "target": int(side)} for side, of_side in sides.items() for text in of_side]
        yield f"{dataset}_{label}".replace(" ", "_"), pd.DataFrame(rows).sample(frac=1, random_state=0)
