"""Several processes or machines fill disjoint windows of one store, through dask.distributed.

A window is a function of the token plan and the seed, and windows share no chunk, so workers need no locks and the
bytes do not depend on who wrote what. A worker that dies costs the window it was computing: dask gives it to another.
All processes must see the same folders (model, token plan, and the store or its URL).
"""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from distributed import KilledWorker, as_completed

from pipeline.activations.caching import CachingJob, Forward, fill_windows, hooked_forward
from pipeline.activations.plan import Window, read_plan
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.writer import WindowWriter
from pipeline.core.errors import PipelineError
from pipeline.core.processes import Arithmetic, MachineSettings, local_workers, workers_at
from pipeline.core.progress import track
from pipeline.language_model.loading import load_model


class SharedJob(NamedTuple):
    """Everything that a worker needs to compute any window; small, sent with each task."""

    model_dir: Path
    plan_dir: Path
    places: tuple[tuple[str, str], ...]  # hook point and where its store is
    points: tuple[tuple[str, tuple[int, str]], ...]
    settings: ActivationsSettings
    machine: MachineSettings
    seed: int
    device: str
    arithmetic: Arithmetic  # the same for all, whatever processors they have
    threads: int


def fill_with_workers(job: SharedJob, windows: list[Window], written: Callable[[int], str]) -> None:
    """Fill the windows on the cluster at ``machine.cache_scheduler``, or on ``machine.cache_workers`` local processes;
    ``written`` says what so many tokens take."""
    settings, machine = job.settings, job.machine
    address = machine.cache_scheduler
    local = address is None
    with local_workers(machine.cache_workers) if local else workers_at(address, __name__, job.plan_dir) as client:
        # pure=False: a window is computed when asked for, whatever the scheduler remembers of an earlier run.
        futures = client.map(functools.partial(fill_window, job), windows, pure=False)
        done = as_completed(futures)
        for future in track(done, "caching", len(windows), "tokens", 0, settings.window_rows, written):
            try:
                future.result()
            except KilledWorker as error:
                raise PipelineError(
                    f"several workers died on one window ({error}); give each more memory or lower "
                    "machine.batch_tokens, then run `uv run dvc repro cache_activations`: finished windows are kept"
                ) from None


def fill_window(job: SharedJob, window: Window) -> None:
    """Compute and write one window."""
    torch.set_num_threads(job.threads)
    _, caching, forward, d_model = _prepare(job)
    for _ in fill_windows(caching, forward, d_model, [window]):
        pass


@functools.lru_cache(maxsize=1)
def _prepare(job: SharedJob) -> tuple[ExitStack, CachingJob, Forward, int]:
    """The open stores and the hooked model of a worker process, which keeps them (and the hooks) to its end."""
    points, settings = dict(job.points), job.settings
    model = load_model(job.model_dir, 1 + max(layer for layer, _ in points.values()), device=job.device)
    stores = {name: WindowWriter(place, settings.mantissa_bits) for name, place in job.places}
    plan = read_plan(job.plan_dir)
    caching = CachingJob(plan, stores, settings.window_rows, job.machine.batch_tokens, job.seed)
    hooks = ExitStack()
    forward = hooks.enter_context(hooked_forward(model, points, job.arithmetic))
    return hooks, caching, forward, model.config.get_text_config().hidden_size
