"""A run of every stage on a very small world, for tests that need a whole data/ folder and no knowledge in it."""

import shutil
from pathlib import Path
from typing import Any

from tests.support.all_stages import SHRUNK, run_all_stages

TINY = {"hidden_size": 32, "layers": 3, "heads": 2, "kv_heads": 1, "head_dim": 16, "intermediate_size": 64}
TINY |= {"max_tokens": 20_000, "cooldown_tokens": 5_000, "check_tokens": 10_000, "warmup_steps": 4}
WORLD = {"domains": 2, "topics_per_domain": 2, "entities_per_topic": 4, "first_name_uses": 2, "training_tokens": 20_000}
METHODS = ["level_cut", "subtree", "random_groups", "grad_diff"]


def small_overlay() -> dict[str, Any]:
    """The settings of the small run, on top of params.yaml."""
    unlearning: dict[str, Any] = SHRUNK["unlearning"] | {
        "targets": {"domain": 0, "topic": 1, "entity": 5},
        "methods": METHODS,
        "more_methods": {"topic": []},
    }
    evaluation = {"sae_bench": [], "cut_nodes": 4}
    sizes = SHRUNK | {"unlearning": unlearning, "evaluation": evaluation}
    return {"world": WORLD, "language_model": {"tiny": TINY}} | sizes


def small_run(folder: Path, name: str) -> Path:
    """Run all stages in ``folder`` and leave what experiment.py would in ``folder / name``."""
    done = run_all_stages(folder, small_overlay())
    assert done.returncode == 0, done.stderr[-3000:]
    for part in ("report", "times"):
        shutil.copytree(folder / "data" / part, folder / name / part)
    for part in ("final_info.json", "params.yaml"):
        shutil.copy(folder / "data" / part, folder / name)
    return folder
