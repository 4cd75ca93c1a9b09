"""How a stage starts by itself: it takes no argument, and says so before it touches anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


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


RUN = "import stages, sys; sys.modules['__main__'].__doc__ = ''; stages.run('train_sae', main)"


def fail(folder: Path, root: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A stage whose work ends in what ``body`` raises."""
    return subprocess.run(
        [sys.executable, "-c", f"{body}\n{RUN}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)} | environment,
        capture_output=True,
        text=True,
    )


PLAIN = "def main(): raise OSError(28, 'No space left on device', 'a.npy')"
WORDS = "def main(): raise RuntimeError('I/O error: No space left on device (os error 28)')"  # as safetensors has it
CAUSE = (
    "def main():\n  try: raise OSError(122, 'Disk quota exceeded')\n  except OSError as e: raise ValueError('x') from e"
)


@pytest.mark.parametrize("body", [PLAIN, WORDS, CAUSE], ids=["plain", "words", "cause"])
def test_a_full_disk_is_one_sentence(root: Path, tmp_path: Path, body: str) -> None:
    done = fail(tmp_path, root, body)
    said = f"train_sae: the disk that holds {tmp_path / 'data'} is full; make room, and the same command continues"
    assert (done.returncode, done.stderr) == (1, f"[train_sae]\nerror: {said}\n")
    assert (tmp_path / "data/error.txt").read_text() == f"{said}\n"


def test_a_stage_that_is_killed_has_left_a_sentence(root: Path, tmp_path: Path) -> None:
    done = fail(tmp_path, root, "import os\ndef main(): os.kill(os.getpid(), 9)")
    assert done.returncode == -9
    assert (tmp_path / "data/error.txt").read_text().startswith("train_sae was killed, as by a system short of memory;")


def test_a_bug_keeps_its_traceback_and_leaves_its_reason(root: Path, tmp_path: Path) -> None:
    done = fail(
        tmp_path, root, "def main(): raise KeyError('no such thing, and a long story about it, so that all goes')"
    )
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert (tmp_path / "data/error.txt").read_text().startswith("train_sae failed with KeyError: ")
    done = fail(tmp_path, root, "def main(): raise KeyError('x')")
    assert (tmp_path / "data/error.txt").read_text() == "train_sae failed with KeyError: 'x'\n", "nothing of the longer"
