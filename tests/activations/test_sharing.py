"""Two worker processes fill one store; one is killed in the middle; the bytes are those of a single process."""

import os
import signal
from pathlib import Path

import pytest

from pipeline.activations import sharing, writer
from pipeline.activations.build import build_store
from pipeline.core import processes as workers
from pipeline.core.errors import PipelineError
from tests.activations.test_caching import MACHINE, SMALL, build, contents, inputs  # noqa: F401 - a fixture

# distributed closes its sockets after the event loop; that is its affair
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def build_with(inputs, final, **machine) -> None:  # noqa: F811
    chosen = MACHINE.but(**machine)
    build_store(final, inputs / "train.jsonl", inputs / "model", SMALL, chosen, source="", seed=0, device="cpu")


class KilledInWindow1:
    """``fill_window``, but the first process to write window 1 is killed: its rows are there, its line is not."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker
        self.fill = sharing.fill_window

    def __call__(self, job, window) -> None:
        if window.number == 1 and not self.marker.exists():
            self.marker.touch()
            writer.checksum = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # called after the rows are written
        self.fill(job, window)


def test_a_worker_killed_in_the_middle_costs_no_data(inputs, tmp_path, monkeypatch):  # noqa: F811
    build(inputs, tmp_path / "alone.zarr")
    monkeypatch.setattr(sharing, "fill_window", KilledInWindow1(tmp_path / "killed"))
    build_with(inputs, tmp_path / "shared.zarr", cache_workers=2)
    assert (tmp_path / "killed").exists()
    assert contents(tmp_path / "shared.zarr") == contents(tmp_path / "alone.zarr")


def test_the_workers_of_a_scheduler_fill_a_store(inputs, tmp_path):  # noqa: F811
    """Beside another cluster on this machine, which must not be in the way (ports)."""
    build(inputs, tmp_path / "alone.zarr")
    with workers.local_workers(1), workers.local_workers(1) as client:
        build_with(inputs, tmp_path / "shared.zarr", cache_scheduler=client.scheduler.address)
    assert contents(tmp_path / "shared.zarr") == contents(tmp_path / "alone.zarr")


def test_a_scheduler_that_is_not_there_is_named(inputs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sharing, "workers_at", lambda *asked: workers.workers_at(*asked, wait=0.5))
    with pytest.raises(PipelineError, match=r"no dask scheduler answers at tcp://127.0.0.1:9"):
        build_with(inputs, tmp_path / "a.zarr", cache_scheduler="tcp://127.0.0.1:9")
