"""Figures out of sae-bench's result files, and the baselines of sparse probing beside ours.

Baselines are the seed's, per data set and k, and vanilla dictionaries of the world.
"""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.files import read_json


def result_path(folder: Path, sae_name: str) -> Path:
    """Where sae-bench writes the result of an SAE that it was given as an object."""
    return folder / f"{sae_name}_custom_sae_eval_results.json"


def flat_metrics(folder: Path, sae_name: str) -> dict[str, float]:
    """The metrics of one SAE in an eval's folder."""
    return flat(read_json(result_path(folder, sae_name)))


def spread(folder: Path, sae_name: str) -> dict[str, float]:
    """Standard error, sd / sqrt(n), of every metric that sae-bench gives for each of n >= 2 data sets."""
    result = read_json(result_path(folder, sae_name))
    rows = [{**row, **(row.get("metrics") or {})} for row in result.get("eval_result_details") or []]
    errors = {}
    for name in flat(result):
        values = [row[name] for row in rows if isinstance(row.get(name), int | float)]
        if len(values) == len(rows) >= 2:
            errors[name] = statistics.stdev(values) / len(values) ** 0.5
    return errors


def flat(result: Mapping[str, Any]) -> dict[str, float]:
    """sae-bench's own metric names without their categories; what it did not compute is absent."""
    metrics: dict[str, float] = {}
    for category in result["eval_result_metrics"].values():
        for name, value in category.items():
            if value is not None:
                assert name not in metrics, f"sae-bench has two metrics called {name}"
                metrics[name] = float(value)
    return metrics


class Beside(NamedTuple):
    """One metric of one data set ("mean" for all); None where one side has not measured it."""

    dataset: str
    metric: str  # without its "llm_" or "sae_"
    llm: float | None
    llm_seed: float | None  # the same thing is measured where these two agree
    sae: float | None
    sae_seed: float | None


def seed_metrics(baseline: Path) -> dict[str, float]:
    """The seed's means under sae-bench's names, unchanged."""
    return flat(read_json(baseline))


def seed_caveats(baseline: Path) -> list[str]:
    """What a reader must know before comparing with the seed's file."""
    content = read_json(baseline)
    caveats = []
    figures = [value for row in _rows(content).values() for name, value in row.items() if name.startswith("sae_")]
    if set(figures) - {None} == {0.5}:
        trained = content.get("training_steps")
        caveats.append(f"every SAE figure is 0.5, chance: the SAE was not trained (training_steps {trained})")
    hook_layer, layer = content["sae_cfg_dict"]["hook_layer"], content.get("layer")
    if layer is not None and layer != hook_layer:
        caveats.append(f"its name and hook say layer {hook_layer}, its training record says layer {layer}")
    return caveats


def beside_seed(result: Path, baseline: Path) -> list[Beside]:
    """Our result file next to the seed's: the mean first, then every data set of either."""
    ours, seed = _rows(read_json(result)), _rows(read_json(baseline))
    metrics = [name.removeprefix("llm_") for name in seed["mean"] if name.startswith("llm_")]
    return [
        Beside(dataset, metric, *(side.get(dataset, {}).get(f"{who}_{metric}") for who, side in _columns(ours, seed)))
        for dataset in dict.fromkeys([*ours, *seed])
        for metric in metrics
        if any(f"llm_{metric}" in side.get(dataset, {}) for side in (ours, seed))
    ]


def beside_world(result: Path, world: Path) -> dict[str, dict[str, float]]:
    """Dictionary -> its means over the data sets of the embedded world; none for a result on other data sets."""
    theirs = read_json(world)
    own = {row["dataset_name"] for row in read_json(result)["eval_result_details"]}
    return theirs["dictionaries"] if own == set(theirs["datasets"]) else {}


def _columns(ours: Mapping, seed: Mapping) -> list[tuple[str, Mapping]]:
    return [("llm", ours), ("llm", seed), ("sae", ours), ("sae", seed)]


def _rows(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Measured figures by data set; sae-bench adds ``_results`` to its names."""
    rows = {"mean": flat(content)}
    for row in content["eval_result_details"]:
        figures = {name: value for name, value in row.items() if name != "dataset_name" and value is not None}
        rows[row["dataset_name"].removesuffix("_results")] = figures
    return rows
