"""A world of a seed with everything up to its dendrogram, made once by the ordinary stages in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = {
    "params": "params.yaml",
    "prepare": "model",
    "cache_activations": "activations.zarr",
    "train_sae": "sae",
    "encode_features": "features.zarr",
    "correlate": "correlation.zarr",
    "build_dendrogram": "dendrogram",
}


def seed_world(folder: Path, seed: int, until: str = "build_dendrogram") -> Path:
    """``folder/seed_N/data`` as the stages leave it under params.yaml with another seed; what is there is kept."""
    place = folder / f"seed_{seed}"
    (place / "runs").mkdir(parents=True, exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["run"]["seed"] = seed
    (place / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for stage in list(OUTPUTS)[: list(OUTPUTS).index(until) + 1]:
        if not (place / "data" / OUTPUTS[stage]).exists():
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=place, env=environment, check=True)
    return place / "data"
