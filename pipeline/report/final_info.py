"""``final_info.json`` in the AI-Scientist form: ``{key: {"means", "stderrs", "final_info_dict"}}``, plain floats only.

The keys are fixed, because users' scripts rely on them; what was not computed is absent, never zero.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.report.evidence import INTERVAL

SEED_BASELINE = "seed_baseline/sparse_probing"
_KEYS = re.compile(
    r"language_model|sae|hierarchy|unlearning/\w+/[^/]+|scope/\w+|few_shot/\w+/\d+|relearning/\w+|sae_bench/\w+(/\w+)?|"
    + SEED_BASELINE
)


def collect(
    entries: Mapping[str, Mapping[str, Any]], sae_bench: Mapping[str, Any], seed: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """The content of ``final_info.json``: evaluation entries, sae-bench's own metrics, the seed's figures unchanged."""
    found = {key: (entry["means"], entry["stderrs"]) for key, entry in entries.items()}
    for name, metrics in sae_bench.get("metrics", {}).items():
        found[f"sae_bench/{name}"] = (metrics, sae_bench.get("stderrs", {}).get(name, {}))
    for edit, evals in sae_bench.get("edited", {}).items():
        found |= {f"sae_bench/{name}/{edit}": (metrics, {}) for name, metrics in evals.items()}
    for ranking, score in sae_bench.get("unlearning_corrected", {}).items():
        found["sae_bench/unlearning_corrected" + ("" if ranking == "sae" else f"/{ranking}")] = corrected(score)
    found[SEED_BASELINE] = (seed, {})
    return {key: _entry(key, *figures) for key, figures in found.items()}


def corrected(score: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Means and standard errors of a corrected unlearning score, whose file holds 95 % intervals."""
    intervals = {
        "score": "score_interval",
        "retain_accuracy": "retain_interval",
        "neighbour_accuracy": "neighbour_interval",
    }
    names = ("published", "score", "calibrated", "dev_score", "retain_accuracy", "neighbour_accuracy")
    errors = {name: (score[of][1] - score[of][0]) / (2 * INTERVAL) for name, of in intervals.items() if of in score}
    return {name: score[name] for name in names if name in score}, errors


def _entry(key: str, means: Mapping[str, float], stderrs: Mapping[str, float]) -> dict[str, Any]:
    """One run has one seed, so each list of ``final_info_dict`` holds one value."""
    if not _KEYS.fullmatch(key):
        raise PipelineError(f"data/evaluation has the entry {key!r}, which has no place in final_info.json")
    numbers = {name: _plain(f"{key}: {name}", value) for name, value in means.items()}
    errors = {name: _plain(f"{key}: stderr of {name}", value) for name, value in stderrs.items()}
    return {"means": numbers, "stderrs": errors, "final_info_dict": {name: [value] for name, value in numbers.items()}}


def _plain(where: str, value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise PipelineError(f"{where} is {number}; final_info.json holds finite numbers only")
    return number
