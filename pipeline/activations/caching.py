"""Run the lower layers of a model over a token plan and write what its hook points see."""

import contextlib
import itertools
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from obstore.exceptions import BaseError
from transformers import PreTrainedModel

from pipeline.activations.arithmetic import computing
from pipeline.activations.plan import TokenPlan, Window, split_windows, token_rows, window_batches
from pipeline.activations.writer import WindowWriter
from pipeline.core.errors import PipelineError
from pipeline.core.processes import Arithmetic
from pipeline.core.progress import track
from pipeline.language_model.hooks import capture

PROGRESS = 4096  # tokens in one step of the progress line

Forward = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]


class CachingJob(NamedTuple):
    """What is to be cached, and where: the same for every window and every process."""

    plan: TokenPlan
    stores: Mapping[str, WindowWriter]  # by hook point
    window_rows: int
    batch_tokens: int
    seed: int

    @property
    def windows(self) -> list[Window]:
        return split_windows(self.plan.n_rows, self.window_rows)

    def unfinished(self) -> list[Window]:
        finished = np.logical_and.reduce([store.finished() for store in self.stores.values()])
        return [window for window in self.windows if not finished[window.number]]

    def finish(self) -> None:
        for store in self.stores.values():
            store.finish(self.windows)


@contextlib.contextmanager
def hooked_forward(
    model: PreTrainedModel, points: Mapping[str, tuple[int, str]], arithmetic: Arithmetic = "float32"
) -> Iterator[Forward]:
    """Give ``forward(token_ids_bt) -> {hook point: acts_btd}``, which runs ``model`` up to its last hook point."""
    with capture(model, points) as acts:

        def forward(token_ids_bt: torch.Tensor) -> Mapping[str, torch.Tensor]:
            # No attention mask: padding is on the right, where causal attention never looks from a real token.
            with computing(arithmetic, model.device.type):
                model(input_ids=token_ids_bt.to(model.device))
            return acts

        yield forward


def cache(job: CachingJob, forward: Forward, d_model: int, bytes_per_row: int) -> None:
    """Fill every unfinished window, with progress, and declare the stores complete."""
    windows = job.unfinished()
    left = sum(window.n_rows for window in windows)
    steps = _every(PROGRESS, fill_windows(job, forward, d_model, windows))
    done = (job.plan.n_rows - left) // PROGRESS
    total = max(1, job.plan.n_rows // PROGRESS)
    for _ in track(steps, "caching", total, "tokens", done, PROGRESS, gigabytes(bytes_per_row)):
        pass
    job.finish()


def gigabytes(bytes_per_row: int) -> Callable[[int], str]:
    """What so many rows take, in words."""
    return lambda n_rows: f"{n_rows * bytes_per_row / 1e9:.2f} GB"


def fill_windows(job: CachingJob, forward: Forward, d_model: int, windows: list[Window]) -> Iterator[int]:
    """Compute and write the windows; yields the number of rows computed, batch by batch.

    A thread writes one window while the model fills the next, so two windows per hook point are in memory.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        writing: Future[None] | None = None
        for window in windows:
            rows = {
                name: torch.empty(window.n_rows, d_model, dtype=getattr(torch, store.dtype))
                for name, store in job.stores.items()
            }
            yield from _fill(job, forward, window, rows)
            if writing is not None:
                writing.result()
            writing = thread.submit(_write, job, window, rows)
        if writing is not None:
            writing.result()


@torch.inference_mode()
def _fill(job: CachingJob, forward: Forward, window: Window, rows: Mapping[str, torch.Tensor]) -> Iterator[int]:
    """Put every row of the window in its place on disk, in the stores' dtypes."""
    for batch in window_batches(job.plan, window, job.batch_tokens, job.seed):
        acts = forward(torch.from_numpy(batch.token_ids_bt))
        stored = torch.from_numpy(np.flatnonzero(batch.stored_bt))
        for name, rows_nd in rows.items():
            acts_nd = acts[name].flatten(0, 1)
            if len(stored) < len(acts_nd):
                acts_nd = acts_nd.index_select(0, stored.to(acts_nd.device))
            _bits(rows_nd)[batch.destination] = _bits(acts_nd.to(rows_nd.dtype).cpu())
        yield len(batch.destination)


def _bits(acts_nd: torch.Tensor) -> np.ndarray:
    """The same memory for numpy, which has no bfloat16 but scatters rows twice as fast as torch."""
    return acts_nd.view(torch.int16 if acts_nd.itemsize == 2 else torch.int32).numpy()


def _write(job: CachingJob, window: Window, rows: Mapping[str, torch.Tensor]) -> None:
    tokens = token_rows(job.plan, window, job.seed)
    for name, store in job.stores.items():
        try:
            store.write(window, rows[name], tokens)
        except (OSError, BaseError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise PipelineError(
                f"{store.path} can't be written at window {window.number}: {reason}; make room or "
                "make the folder writable, then run `uv run dvc repro cache_activations`: finished windows are kept"
            ) from None


def _every(step: int, counts: Iterator[int]) -> Iterator[None]:
    """Yield once for every ``step`` counted."""
    total = 0
    for count in counts:
        before, total = total, total + count
        yield from itertools.repeat(None, total // step - before // step)


def check_space(job: CachingJob, folder: Path, bytes_per_row: int) -> None:
    """Refuse if the disk of ``folder`` can't hold what is still to be written."""
    left = sum(window.n_rows for window in job.unfinished())
    need, free = left * bytes_per_row, shutil.disk_usage(folder).free
    if need > free:
        raise PipelineError(
            f"the disk of {folder} can't hold {left:,} tokens of {bytes_per_row:,} bytes: {need / 1e9:.2f} GB to "
            f"write, {free / 1e9:.1f} GB free; lower activations.max_tokens or make room"
        )


def announce(job: CachingJob, forward: Forward, bytes_per_row: int, arithmetic: Arithmetic) -> None:
    """Say how much will be written, in which arithmetic, and about how long it takes."""
    left = sum(window.n_rows for window in job.unfinished())
    if left:
        print(
            f"caching {left:,} tokens of {bytes_per_row:,} bytes in {arithmetic}: {left * bytes_per_row / 1e9:.2f} GB, "
            f"about {left / _rate(job, forward) / 60:.1f} minutes",
            file=sys.stderr,
            flush=True,
        )


@torch.inference_mode()
def _rate(job: CachingJob, forward: Forward) -> float:
    """Tokens per second of one warm forward pass."""
    batch = next(window_batches(job.plan, job.unfinished()[0], job.batch_tokens, job.seed))
    for _ in range(2):
        started = time.perf_counter()
        forward(torch.from_numpy(batch.token_ids_bt))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    return int(batch.stored_bt.sum()) / seconds
