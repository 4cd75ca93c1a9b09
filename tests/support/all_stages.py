"""Every stage of dvc.yaml, in order and in one process, in a folder of its own with the repository's code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.core.yaml_text import as_yaml, read_yaml

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"steps": 2, "calibration_steps": 1}
# Sizes at which every stage does its job in a second or two, on a model that has learnt next to nothing.
SHRUNK = {
    "machine": {"batch_tokens": 2048},
    "activations": {"context_length": 64, "window_rows": 4096},
    "sae": {"d_sae": 64, "k": 4, "steps": 30, "warm_up_steps": 5, "batch_size": 256, "checkpoint_every": 20},
    "dendrogram": {"min_firings": 3, "bootstraps": 3},
    "unlearning": {
        "multipliers": [1],
        "latents": [3, 6],
        "retain_rates": [0.5],
        "groups": [1, 2],
        "retain_weights": [1],
        "guard_multipliers": [1],
        "dev_probes": 10,
        "dev_texts": 5,
        "strengths": [1],
        "batch": {"forget": 2},
        "grad_diff": QUICK,
        "npo": QUICK,
        "scope_npo": QUICK,
        "rmu": QUICK,
    },
    "evaluation": {
        "data": "local",
        "context_length": 32,
        "probe_train_size": 16,
        "probe_test_size": 8,
        "k_values": [1, 2],
        "core_batches": 1,
    },
}
DRIVER = """
import importlib, sys
import stages
def main():
    names, sys.argv[1:] = sys.argv[1:], []  # a stage refuses arguments
    for name in names:
        stages.run(name, importlib.import_module(f"stages.{name}").main)
if __name__ == "__main__":
    main()
"""


def run_all_stages(
    folder: Path, overlay: dict[str, Any], until: str = "report", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run from nothing to ``until`` with the overlay, on top of those that it extends, in an empty folder."""
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "runs", folder / "runs")
    (folder / "runs" / "shrunk.yaml").write_text(as_yaml(overlay))
    shutil.copytree(ROOT / "data" / "baselines", folder / "data" / "baselines")
    (folder / "data" / "run").write_text("shrunk\n")
    (folder / "driver.py").write_text(DRIVER)
    names = list(read_yaml(ROOT / "dvc.yaml")["stages"])
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "JAXTYPING_DISABLE": "1"}
    return subprocess.run(
        [sys.executable, "driver.py", *names[: names.index(until) + 1]],
        cwd=folder,
        env=inherited | own | environment,
        capture_output=True,
        text=True,
    )
