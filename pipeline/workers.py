"""Dask workers: processes of this machine, or those of a scheduler that runs somewhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

from pipeline.errors import PipelineError

# No dashboard; a scheduler serves HTTP all the same, by default at port 8787, where there may be another one.
NO_DASHBOARD = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}


@contextmanager
def local_workers(count: int, memory_limit: int | str = "auto") -> Iterator[Client]:
    """``count`` processes with one thread each; ``memory_limit`` bytes for each of them."""
    cluster = LocalCluster(count, threads_per_worker=1, memory_limit=memory_limit, **NO_DASHBOARD)
    with cluster, Client(cluster) as client:
        yield client


@contextmanager
def workers_at(address: str, timeout: float = 30) -> Iterator[Client]:
    """The workers of the scheduler at ``address``, which go on when the block ends."""
    try:
        client = Client(address, timeout=timeout)
    except (OSError, ValueError) as error:
        raise PipelineError(f"no dask scheduler answers at {address} ({error}); check `scheduler` in params") from None
    with client:
        yield client
