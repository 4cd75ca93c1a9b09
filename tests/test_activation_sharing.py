"""Two worker processes fill one store; one is killed in the middle; the bytes are those of a single process."""

import dataclasses
import os
import signal
import threading
import time

import distributed
import pytest
from test_caching import SMALL, build, contents, inputs  # noqa: F401 - a fixture

from pipeline.activations import sharing
from pipeline.activations.build import build_store
from pipeline.errors import PipelineError

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_worker_killed_in_the_middle_costs_no_data(inputs, tmp_path, monkeypatch):  # noqa: F811
    build(inputs, tmp_path / "alone.zarr")
    killed = []

    class Cluster(distributed.LocalCluster):
        """Kills the first worker that has started, as soon as one window is finished."""

        def __enter__(self):
            threading.Thread(target=self.kill_one, daemon=True).start()
            return super().__enter__()

        def kill_one(self):
            manifest = None
            while not manifest:
                manifest = list((tmp_path / "partial").glob("shared.zarr-*/manifest/c/*/0"))
                time.sleep(0.001)
            process = next(iter(self.workers.values())).process
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    monkeypatch.setattr(sharing, "LocalCluster", Cluster)
    settings = dataclasses.replace(SMALL, workers=2)
    arguments = {"source": "", "seed": 0, "device": "cpu"}
    build_store(tmp_path / "shared.zarr", inputs / "train.jsonl", inputs / "model", settings, **arguments)
    assert killed
    assert contents(tmp_path / "shared.zarr") == contents(tmp_path / "alone.zarr")


def test_a_scheduler_that_is_not_there_is_named(inputs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sharing, "Client", lambda address, timeout: distributed.Client(address, timeout=0.5))
    settings = dataclasses.replace(SMALL, scheduler="tcp://127.0.0.1:9")
    arguments = {"source": "", "seed": 0, "device": "cpu"}
    with pytest.raises(PipelineError, match=r"no dask scheduler answers at tcp://127.0.0.1:9"):
        build_store(tmp_path / "a.zarr", inputs / "train.jsonl", inputs / "model", settings, **arguments)
