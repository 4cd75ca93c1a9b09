"""Figures out of sae-bench's result files."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.files import read_json


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
