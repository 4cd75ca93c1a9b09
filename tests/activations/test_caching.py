"""Caching interrupted: by SIGKILL, a full disk, a read-only folder, a second writer. Nothing half done bears a name."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.activations.build import build_store
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.activations.writer import WindowWriter
from pipeline.core.errors import PipelineError
from pipeline.core.processes import MachineSettings
from tests.support.settings import recommended
from tests.support.tiny_lm import gemma, save_model

ROOT = Path(__file__).parents[2]
SMALL = recommended(ActivationsSettings, context_length=8, window_rows=64, layer=1)
MACHINE = recommended(MachineSettings, batch_tokens=32)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    save_model(folder / "model", gemma())
    lines = (json.dumps({"text": f"w{i} w{i + 1} w{i + 2} w3 w4", "path": []}) for i in range(40))
    (folder / "train.jsonl").write_text("\n".join(lines))
    return folder


def build(inputs: Path, final: Path) -> None:
    build_store(final, inputs / "train.jsonl", inputs / "model", SMALL, MACHINE, source="", seed=0, device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_store_killed_three_times_equals_an_uninterrupted_one():
    command = [sys.executable, "-m", "benchmarks.store_kill", "--kills", "3", "--tokens", "4000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == 3 and result["identical"]


def test_a_full_disk_is_named_and_finished_windows_are_kept(inputs, tmp_path, monkeypatch):
    build(inputs, tmp_path / "whole.zarr")
    write, written = WindowWriter.write, []

    def full_at_window_2(self, window, *rest):
        if window.number == 2 and len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(window.number)
        write(self, window, *rest)

    monkeypatch.setattr(WindowWriter, "write", full_at_window_2)
    with pytest.raises(PipelineError, match=r"can't be written at window 2: No space left on device; make room"):
        build(inputs, tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
    written.append("room was made")
    build(inputs, tmp_path / "a.zarr")
    assert written == [0, 1, "room was made", 2, 3]
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "whole.zarr")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(inputs, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PipelineError, match="can't be written: Permission denied; make its folder writable"):
        build(inputs, tmp_path / "a.zarr")


def test_a_folder_that_cannot_be_made_is_named(inputs, tmp_path):
    (tmp_path / "partial").write_text("a file where the folder should be")
    with pytest.raises(PipelineError, match="can't be written: File exists"):
        build(inputs, tmp_path / "a.zarr")


def test_a_second_writer_is_refused(inputs, tmp_path):
    (tmp_path / "partial").mkdir()
    with (tmp_path / "partial/a.zarr.lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PipelineError, match=r"a.zarr is being written by process 4711"):
            build(inputs, tmp_path / "a.zarr")


def test_a_build_with_other_settings_does_not_go_on_from_this_one(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(WindowWriter, "finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(inputs, tmp_path / "a.zarr")
    (left,) = (path for path in (tmp_path / "partial").iterdir() if path.is_dir())
    monkeypatch.undo()
    other = recommended(ActivationsSettings, context_length=6, window_rows=64, layer=1)
    arguments = {"source": "", "seed": 0, "device": "cpu"}
    build_store(tmp_path / "a.zarr", inputs / "train.jsonl", inputs / "model", other, MACHINE, **arguments)
    assert not left.exists()
    assert ActivationStore.open(tmp_path / "a.zarr").attributes["settings"]["context_length"] == 6


def test_an_unfinished_store_is_not_opened(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(WindowWriter, "finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(inputs, tmp_path / "a.zarr")
    (left,) = (path for path in (tmp_path / "partial").iterdir() if path.is_dir())
    with pytest.raises(PipelineError, match="is unfinished or of another format"):
        ActivationStore.open(left)
    with pytest.raises(PipelineError, match="is missing; run `uv run dvc repro cache_activations`"):
        ActivationStore.open(tmp_path / "a.zarr")
