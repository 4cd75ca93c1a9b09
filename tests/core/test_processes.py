"""How a process uses torch, and what it waits for of workers that others started."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Scheduler, SpecCluster

from pipeline.core.errors import PipelineError
from pipeline.core.processes import pick_device, workers_at

# distributed closes its sockets after the event loop; that is its affair
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(PipelineError, match="no CUDA device"):
        pick_device("cuda")


# ---- workers of others


@pytest.fixture(scope="module")
def lonely() -> Iterator[str]:
    """The address of a scheduler without workers."""
    options = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0}
    with SpecCluster(scheduler={"cls": Scheduler, "options": options}, workers={}) as cluster:
        yield cluster.scheduler_address


@contextmanager
def worker(address: str, home: Path) -> Iterator[subprocess.Popen]:
    """One worker, started in ``home``."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    command += ["--nthreads=1", "--no-dashboard", "--no-nanny"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


LIGHT = "pipeline.core.errors"  # a module that a worker imports at once


def refusal(address: str, folder: Path, wait: float) -> str:
    with pytest.raises(PipelineError) as refused, workers_at(address, LIGHT, folder, wait):
        pass
    return str(refused.value)


def test_a_scheduler_without_workers_is_not_waited_for_without_limit(lonely: str, root: Path) -> None:
    said = refusal(lonely, root, 0.5)
    assert f"{lonely} has no workers, after 0 seconds; start some with `dask worker {lonely}`, in the pro" in said


def test_a_worker_that_lacks_the_project_is_named(lonely: str, root: Path, tmp_path: Path) -> None:
    with worker(lonely, tmp_path):
        assert "can't import the project (No module named 'pipeline'); stop it, and start" in refusal(lonely, root, 30)


def test_a_worker_must_see_the_folder_and_its_death_ends_the_wait(lonely: str, root: Path, tmp_path: Path) -> None:
    with worker(lonely, root) as process:
        assert "does not see" in refusal(lonely, tmp_path / "elsewhere", 30)
        lost = pytest.raises(PipelineError, match=r"has had no worker for 2 seconds; start it or its workers again")
        with lost, workers_at(lonely, LIGHT, tmp_path, 30, alone=2) as client:
            future = client.submit(time.sleep, 60)
            process.kill()
            future.result()


LATE = """
import multiprocessing, os, sys, time
from pipeline.core.processes import die_with_parent
def work():
    time.sleep(0.3)  # as long as the libraries take
    die_with_parent()
    time.sleep(60)
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    print(child.pid, flush=True)
    os._exit(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_worker_whose_parent_is_gone_before_it_asks_ends_too(root: Path) -> None:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", LATE], cwd=root, stdout=subprocess.PIPE, check=False)
    assert time.monotonic() - started < 30, "it holds the pipe as long as it lives"
