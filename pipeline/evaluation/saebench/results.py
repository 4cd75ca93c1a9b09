"""Figures out of sae-bench's result files, and the seed's baseline beside them."""

from pathlib import Path

from pipeline.files import read_json


def result_path(folder: Path, sae_name: str) -> Path:
    """Where sae-bench writes the result of an SAE that it was given as an object."""
    return folder / f"{sae_name}_custom_sae_eval_results.json"


def flat_metrics(folder: Path, sae_name: str) -> dict[str, float]:
    """sae-bench's own metric names without their categories; what it did not compute is absent."""
    categories = read_json(result_path(folder, sae_name))["eval_result_metrics"]
    flat: dict[str, float] = {}
    for category in categories.values():
        for name, value in category.items():
            if value is not None:
                assert name not in flat, f"sae-bench has two metrics called {name}"
                flat[name] = float(value)
    return flat
