"""Run the lower layers of a model over a token plan and write what its hook points see."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.activations.tokens import TokenPlan
from pipeline.activations.windows import Window, split_windows, token_rows, window_batches
from pipeline.activations.writer import WindowWriter
from pipeline.errors import PipelineError
from pipeline.language_model.hooks import capture
from pipeline.progress import track


def cache(
    model: PreTrainedModel,
    plan: TokenPlan,
    points: Mapping[str, tuple[int, str]],
    stores: Mapping[str, WindowWriter],
    window_rows: int,
    batch_tokens: int,
    seed: int,
) -> None:
    """Fill every unfinished window of ``stores`` (one per hook point) and declare the stores complete."""
    windows = split_windows(plan.n_rows, window_rows)
    finished = np.logical_and.reduce([store.finished() for store in stores.values()])
    left = [window for window in windows if not finished[window.number]]
    done = len(windows) - len(left)
    filled = fill_windows(model, plan, points, stores, left, batch_tokens, seed)
    for _ in track(filled, "caching", len(windows), "tokens", done, min(window_rows, plan.n_rows)):
        pass
    for store in stores.values():
        store.finish(windows)


def fill_windows(
    model: PreTrainedModel,
    plan: TokenPlan,
    points: Mapping[str, tuple[int, str]],
    stores: Mapping[str, WindowWriter],
    windows: list[Window],
    batch_tokens: int,
    seed: int,
) -> Iterator[Window]:
    """Compute the windows; one thread writes the last one while the model fills the next.

    So at most two windows per hook point are in memory, and a window is yielded when it is on disk.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        writing: Future[Window] | None = None
        for window in windows:
            rows = run_window(model, plan, points, stores, window, batch_tokens, seed)
            if writing is not None:
                yield writing.result()
            writing = thread.submit(_write, plan, window, rows, stores, seed)
        if writing is not None:
            yield writing.result()


@torch.inference_mode()
def run_window(
    model: PreTrainedModel,
    plan: TokenPlan,
    points: Mapping[str, tuple[int, str]],
    stores: Mapping[str, WindowWriter],
    window: Window,
    batch_tokens: int,
    seed: int,
) -> dict[str, torch.Tensor]:
    """The rows of one window for every hook point, in the order on disk and in the stores' dtypes."""
    d_model = model.config.get_text_config().hidden_size
    rows = {
        name: torch.empty(window.n_rows, d_model, dtype=getattr(torch, store.dtype)) for name, store in stores.items()
    }
    with capture(model, points) as acts:
        for batch in window_batches(plan, window, batch_tokens, seed):
            # No attention mask: padding is on the right, where causal attention never looks from a real token.
            model(input_ids=torch.from_numpy(batch.token_ids_bt).to(model.device))
            stored_bt = torch.from_numpy(batch.stored_bt).to(model.device)
            destination = torch.from_numpy(batch.destination)
            for name, rows_nd in rows.items():
                rows_nd.index_copy_(0, destination, acts[name][stored_bt].to(rows_nd.dtype).cpu())
    return rows


def _write(
    plan: TokenPlan,
    window: Window,
    rows: Mapping[str, torch.Tensor],
    stores: Mapping[str, WindowWriter],
    seed: int,
) -> Window:
    tokens = token_rows(plan, window, seed)
    for name, store in stores.items():
        try:
            store.write(window, rows[name], tokens)
        except OSError as error:
            raise PipelineError(
                f"{store.path} can't be written at window {window.number}: {error.strerror or error}; make room or "
                "make the folder writable, then run `dvc repro cache_activations`: finished windows are kept"
            ) from None
    return window


def check_space(folder: Path, n_rows: int, bytes_per_row: int, done_share: float) -> None:
    """Say what will be written, and refuse if the disk can't hold it."""
    need = n_rows * bytes_per_row * (1 - done_share)
    free = shutil.disk_usage(folder).free
    sizes = f"{n_rows:,} tokens x {bytes_per_row:,} bytes; {need / 1e9:.2f} GB to write, {free / 1e9:.1f} GB free"
    if need > free:
        raise PipelineError(f"the disk of {folder} can't hold the activations: {sizes}; lower activations.max_tokens")
    print(f"caching {sizes}", file=sys.stderr, flush=True)
