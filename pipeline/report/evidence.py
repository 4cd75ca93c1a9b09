"""``final_info.json`` in the AI-Scientist form: ``{key: {"means", "stderrs", "final_info_dict"}}``, plain floats only.

The keys are fixed, because users' scripts rely on them; what was not computed is absent, never zero.

All that the report speaks of, read once.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.saebench.results import Beside, beside_seed, beside_world, result_path, seed_caveats, seed_metrics

SEED_BASELINE = "seed_baseline/sparse_probing"
_KEYS = re.compile(
    r"language_model|sae|hierarchy|unlearning/\w+/[^/]+|scope/\w+|few_shot/\w+/\d+|relearning/\w+|sae_bench/\w+(/\w+)?|"
    + SEED_BASELINE
)


def read_entries(evaluation: Path) -> dict[str, dict[str, Any]]:
    """Every entry of the files in ``data/evaluation``, the order of a run's own questions: model, SAE, tree, edits."""
    order = ("language_model", "sae", "hierarchy", "unlearning")
    files = sorted(evaluation.glob("*.json"), key=lambda f: (order.index(f.stem) if f.stem in order else 9, f.stem))
    if not files:
        raise PipelineError(f"{evaluation} holds no figures; run `uv run dvc repro evaluate`")
    return {key: entry for file in files for key, entry in read_json(file).items()}


def collect(
    entries: Mapping[str, Mapping[str, Any]], sae_bench: Mapping[str, Any], seed: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """The content of ``final_info.json``: evaluation entries, sae-bench's own metrics, the seed's figures unchanged."""
    collected = {key: _entry(key, entry["means"], entry["stderrs"]) for key, entry in entries.items()}
    for name, metrics in sae_bench.get("metrics", {}).items():
        errors = sae_bench.get("stderrs", {}).get(name, {})
        collected[f"sae_bench/{name}"] = _entry(f"sae_bench/{name}", metrics, errors)
    for edit, evals in sae_bench.get("edited", {}).items():
        for name, metrics in evals.items():
            collected[f"sae_bench/{name}/{edit}"] = _entry(f"sae_bench/{name}/{edit}", metrics, {})
    for ranking, score in sae_bench.get("unlearning_corrected", {}).items():
        key = "sae_bench/unlearning_corrected" + ("" if ranking == "sae" else f"/{ranking}")
        collected[key] = _entry(key, *corrected(score))
    collected[SEED_BASELINE] = _entry(SEED_BASELINE, seed, {})
    return collected


def corrected(score: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Means and standard errors of a corrected unlearning score, whose file holds 95 % intervals."""
    intervals = {
        "score": "score_interval",
        "retain_accuracy": "retain_interval",
        "neighbour_accuracy": "neighbour_interval",
    }
    names = ("published", "score", "calibrated", "dev_score", "retain_accuracy", "neighbour_accuracy")
    errors = {name: (score[of][1] - score[of][0]) / (2 * 1.96) for name, of in intervals.items() if of in score}
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


class Cell(NamedTuple):
    """One method on one target: its edit and its dev sweep."""

    edit: dict[str, Any]
    candidates: list[dict[str, Any]]

    @property
    def objective(self) -> float:
        """The dev objective of the edit that was kept; 0 is perfect."""
        return min(row["objective"] for row in self.candidates)


class Baselines(NamedTuple):
    """What this run's sparse probing stands beside.

    ``seed`` are the seed's figures as they are, ``caveats`` what to know of them, ``beside`` this run's and the seed's
    where this run has some; ``world`` are the means of vanilla dictionaries where it probes the embedded world's data.
    """

    seed: dict[str, float]
    caveats: list[str]
    beside: list[Beside]
    world: dict[str, dict[str, float]]


class Evidence(NamedTuple):
    """``entries`` are final_info's keys with means, stderrs and values; ``cells`` by (method, level)."""

    entries: dict[str, dict[str, Any]]
    cells: dict[tuple[str, str], Cell]
    sae_bench: dict[str, Any]
    baselines: Baselines
    corpus: dict[str, Any]
    groups: dict[str, Any]  # of the default tree
    cutting: dict[str, Any]  # what cutting single nodes of it does; empty where it was not measured
    stability: dict[str, dict[str, Any]]  # by scale
    training: dict[str, Any]
    sae: dict[str, Any]  # cfg.json
    times: list[dict[str, Any]]
    params: dict[str, Any]

    def means(self, key: str) -> dict[str, float]:
        """The means of one entry; empty where it was not computed."""
        return self.entries.get(key, {}).get("means", {})

    def stderrs(self, key: str) -> dict[str, float]:
        return self.entries.get(key, {}).get("stderrs", {})

    def levels(self) -> list[str]:
        """The levels that have a target, from the coarsest."""
        return [level for level in self.corpus["levels"] if level in self.corpus["targets"]]

    def cuts(self) -> list[float]:
        """The correlations at which the default tree is cut, the coarsest first."""
        return [cut["correlation"] for cut in self.groups["cuts"]]

    def methods(self, level: str) -> list[str]:
        """The methods that were measured on a level's target."""
        keys = [key.split("/", 2) for key in self.entries if key.startswith("unlearning/")]
        return [method for _, method, of_level in keys if of_level == level]


def read_evidence(
    evaluation: Path,
    unlearning: Path,
    dendrogram: Path,
    sae: Path,
    corpus: Path,
    times: list[Path],
    baselines: Path,
    params: dict[str, Any],
) -> Evidence:
    """Read what the stages wrote; an evaluation without sae-bench has none of its figures. ``params``: all of them."""
    summary, cutting = evaluation / "sae_bench" / "summary.json", evaluation / "tree" / "cutting.json"
    return Evidence(
        read_entries(evaluation),
        {(path.parent.parent.name, path.parent.name): _cell(path.parent) for path in unlearning.glob("*/*/edit.json")},
        read_json(summary) if summary.exists() else {},
        _baselines(evaluation, baselines),
        read_json(corpus / "corpus.json") | {"targets": read_json(unlearning / "targets.json")},
        read_json(dendrogram / "groups.json"),
        read_json(cutting) if cutting.exists() else {},
        {scale: read_json(dendrogram / scale / "stability.json") for scale in ("token", "document")},
        read_json(sae / "training.json"),
        read_json(sae / "cfg.json"),
        [read_json(path) for path in times],
        params,
    )


def _baselines(evaluation: Path, folder: Path) -> Baselines:
    ours = result_path(evaluation / "sae_bench" / "sparse_probing", "sae")
    seed, world = folder / "sparse_probing_vanilla_sae.json", folder / "sparse_probing_world.json"
    beside = (beside_seed(ours, seed), beside_world(ours, world)) if ours.exists() else ([], {})
    return Baselines(seed_metrics(seed), seed_caveats(seed), *beside)


def _cell(folder: Path) -> Cell:
    return Cell(read_json(folder / "edit.json"), read_json(folder / "sweep.json")["candidates"])
