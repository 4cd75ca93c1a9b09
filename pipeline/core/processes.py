"""How the machine is used: threads and device of torch, dask workers, and processes that die with their parent.

Light to import: torch and dask are loaded by the functions that need them.
"""

import ctypes
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.core.errors import PipelineError
from pipeline.core.settings import Count, Settings, shaped

if TYPE_CHECKING:
    from distributed import Client


Arithmetic = Literal["float32", "medium", "autocast", "auto"]


class MachineSettings(Settings):
    """Section ``machine``: what makes the stages faster or smaller, and shapes none of their bytes by intention.

    No stage depends on it, so that a change reruns nothing; each stage's times say what was in force.
    """

    threads: Count
    device: Literal["auto", "cpu", "cuda"]
    batch_tokens: Count
    cache_arithmetic: Arithmetic
    cache_workers: Count
    cache_scheduler: Annotated[str, shaped("(tcp|tls|ucx|wss?)://.+", "an address (tcp://host:port), or null")] | None
    loader_memory_mib: Count
    sae_memory_mib: Count
    correlation_memory_mib: Annotated[int, Field(ge=16)]
    correlation_scheduler: Annotated[
        str, shaped("threads|processes|(tcp|tls|ucx|wss?)://.+", "threads, processes or an address (tcp://host:port)")
    ]
    unlearn_workers: Count
    llm_batch_size: Count
    sae_batch_size: Count


_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed, so that no orphan works on beside the next run.

    A worker whose parent ended before it could ask ends here; it would wait for its first task for ever.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)  # nobody is there to be told


# glibc returns every large tensor to the kernel and faults its pages in again on the next step; keeping freed memory
# more than doubles the training rate of a small model. Values from mallopt(3).
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD = -3, -1, -2


def prepare_process(threads: int) -> None:
    """Keep freed memory (glibc only), use ``threads`` CPU threads in torch, and make results repeatable."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(_M_TOP_PAD, 256 << 20)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks Linux for huge pages: fewer faults, faster gathers
    import torch

    torch.set_num_threads(threads)


def pick_device(name: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` takes CUDA where there is one."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise PipelineError("`machine.device` is cuda, but torch sees no CUDA device; set it to auto or cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


# No dashboard; a scheduler serves HTTP all the same, by default at port 8787, where there may be another one.
NO_DASHBOARD = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}


# Python's own cleaner of semaphores would say that an interrupted process has left some; cleaning is its task.
_QUIET_CLEANER = "ignore::UserWarning:multiprocessing.resource_tracker"


@contextmanager
def deaf_children() -> "Iterator[None]":
    """Processes started in the block do not hear Ctrl-C: whoever started them ends them, and they say nothing.

    Children inherit the mask; this process hears what came meanwhile when the block ends.
    """
    sys.warnoptions.append(_QUIET_CLEANER)
    resource_tracker.ensure_running()  # by the first child otherwise, and starting it takes the mask off
    sys.warnoptions.remove(_QUIET_CLEANER)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def local_workers(count: int, memory_limit: int | str = "auto") -> "Iterator[Client]":
    """``count`` processes with one thread each; ``memory_limit`` bytes for each of them."""
    from distributed import Client, LocalCluster

    with deaf_children():
        cluster = LocalCluster(count, threads_per_worker=1, memory_limit=memory_limit, **NO_DASHBOARD)
    with cluster, Client(cluster) as client:
        yield client


# Workers that a batch system has just started join within a minute; a queue may hold them for hours, but then the run
# had better be started after them. The first import of torch takes minutes from a cold disk that many share.
WORKERS_WITHIN, IMPORTED_WITHIN = 60.0, 300.0  # seconds


@contextmanager
def workers_at(
    address: str, imported: str, folder: Path, wait: float = WORKERS_WITHIN, alone: float = WORKERS_WITHIN
) -> "Iterator[Client]":
    """The workers of the scheduler at ``address``, which go on when the block ends.

    ``wait`` seconds at most are waited for the first worker, and ``alone`` when later all are gone. Each is first asked
    to import the module ``imported`` and to see ``folder``. What is missing is one sentence.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=min(wait, 30))
    except (OSError, ValueError) as error:
        said = f"no dask scheduler answers at {address} ({error}); check the schedulers of `machine` in params"
        raise PipelineError(said) from None
    with client:
        _check_workers(client, address, imported, folder, wait)
        with _never_alone(client, address, alone):
            yield client


def _check_workers(client: "Client", address: str, imported: str, folder: Path, wait: float) -> None:
    start = f"start some with `dask worker {address}`, in the project's folder and environment"
    try:
        client.wait_for_workers(1, timeout=wait)
    except TimeoutError:
        raise PipelineError(f"the scheduler at {address} has no workers, after {wait:.0f} seconds; {start}") from None
    # `exec` is pickled by its name, so that a worker without the project can answer too.
    asked = f"import os, {imported}\nif not os.path.isdir({str(folder.absolute())!r}): raise FileNotFoundError"
    try:
        answers = client.sync(client._run, exec, asked, on_error="return", callback_timeout=IMPORTED_WITHIN)
    except TimeoutError:
        raise PipelineError(
            f"a worker of the scheduler at {address} has not imported {imported} in {IMPORTED_WITHIN:.0f} seconds; "
            "restart it"
        ) from None
    for worker, error in answers.items():
        if isinstance(error, FileNotFoundError):
            raise PipelineError(f"the worker {worker} does not see {folder.absolute()}; all machines must share it")
        if error is not None:
            reason = " ".join(str(error).split())
            raise PipelineError(f"the worker {worker} can't import the project ({reason}); stop it, and {start}")


@contextmanager
def _never_alone(client: "Client", address: str, wait: float) -> "Iterator[None]":
    """Stop a block whose workers have all been gone for ``wait`` seconds, or its scheduler: dask would wait on."""
    from concurrent.futures import CancelledError

    over, alone = threading.Event(), threading.Event()

    def watch() -> None:
        last_seen = time.monotonic()
        while not over.wait(min(1.0, wait / 4)):
            if client.scheduler_info(n_workers=1)["workers"]:
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > wait:
                alone.set()
                client.close()  # whoever waits for a result gets a CancelledError
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except CancelledError:
        what = f"has had no worker for {wait:.0f} seconds" if alone.is_set() else "is gone"
        raise PipelineError(
            f"the scheduler at {address} {what}; start it or its workers again, then the same command continues"
        ) from None
    finally:
        over.set()
        watcher.join()
