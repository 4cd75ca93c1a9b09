"""How the machine is used: threads and device of torch, dask workers, and processes that die with their parent.

Light to import: torch and dask are loaded by the functions that need them.
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.core.errors import PipelineError
from pipeline.core.settings import Count, Settings, shaped

if TYPE_CHECKING:
    from distributed import Client


class MachineSettings(Settings):
    """Section ``machine``: what makes the stages faster or smaller, and shapes none of their bytes by intention.

    No stage depends on it, so that a change reruns nothing; each stage's times say what was in force.
    """

    threads: Count
    device: Literal["auto", "cpu", "cuda"]
    batch_tokens: Count
    cache_workers: Count
    cache_scheduler: Annotated[str, shaped(".+://.+", "an address (tcp://host:port), or null")] | None
    loader_memory_mib: Count
    sae_memory_mib: Count
    correlation_memory_mib: Annotated[int, Field(ge=16)]
    correlation_scheduler: Annotated[
        str, shaped("threads|processes|.+://.+", "threads, processes or an address (tcp://host:port)")
    ]
    unlearn_workers: Count
    llm_batch_size: Count
    sae_batch_size: Count


_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed, so that no orphan works on beside the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


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


@contextmanager
def local_workers(count: int, memory_limit: int | str = "auto") -> "Iterator[Client]":
    """``count`` processes with one thread each; ``memory_limit`` bytes for each of them."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(count, threads_per_worker=1, memory_limit=memory_limit, **NO_DASHBOARD)
    with cluster, Client(cluster) as client:
        yield client


@contextmanager
def workers_at(address: str, timeout: float = 30) -> "Iterator[Client]":
    """The workers of the scheduler at ``address``, which go on when the block ends."""
    from distributed import Client

    try:
        client = Client(address, timeout=timeout)
    except (OSError, ValueError) as error:
        said = f"no dask scheduler answers at {address} ({error}); check the schedulers of `machine` in params"
        raise PipelineError(said) from None
    with client:
        yield client
