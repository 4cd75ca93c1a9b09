"""How a stage starts by itself: it takes no argument, and says so before it touches anything."""

import os
import subprocess
import sys
from pathlib import Path


def call(folder: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The stage `params` with the arguments, in an empty folder."""
    return subprocess.run(
        [sys.executable, "-m", "stages.params", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )


def test_help_says_what_a_stage_does_and_runs_nothing(root: Path, tmp_path: Path) -> None:
    done = call(tmp_path, root, "--help")
    assert done.returncode == 0 and "become data/params.yaml" in " ".join(done.stdout.split())
    assert not list(tmp_path.iterdir())


def test_an_argument_is_refused_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    done = call(tmp_path, root, "run_1")
    assert done.returncode == 2 and "unrecognized arguments: run_1" in done.stderr
    assert not list(tmp_path.iterdir())
