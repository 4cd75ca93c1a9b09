"""SAELens' activation cache, driven without a model: what the store's speed is compared with."""

import contextlib
import functools
import io
import warnings
from pathlib import Path

import numpy as np
import sae_lens.cache_activations_runner as runner
import torch
from datasets import Dataset, disable_progress_bars
from sae_lens import CacheActivationsRunnerConfig
from sae_lens.training.activations_store import ActivationsStore

HOOK = "blocks.0.hook_resid_post"


class ReadyModel:
    """A model that answers at once with the same activations, bf16 [b, t, d]."""

    tokenizer = None

    def __init__(self, acts_btd: torch.Tensor) -> None:
        self.W_E = torch.zeros(1)  # SAELens asks it for the device
        self._acts_btd = acts_btd

    def run_with_cache(self, tokens: torch.Tensor, **_: object) -> tuple[None, dict[str, torch.Tensor]]:
        return None, {HOOK: self._acts_btd[: len(tokens)]}


@functools.cache
def ready(shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.randn(shape).bfloat16()


def write(folder: Path, shape: tuple[int, int, int], n_tokens: int, dtype: str) -> None:
    """``CacheActivationsRunner`` from ready bfloat16 activations [b, t, d] to ``folder``."""
    batch, context, d_model = shape
    tokens = Dataset.from_dict({"tokens": np.ones((n_tokens // context, context), np.int64)}).with_format("torch")
    config = CacheActivationsRunnerConfig(
        dataset_path="",
        model_name="",
        hook_name=HOOK,
        d_in=d_model,
        training_tokens=n_tokens,
        context_size=context,
        model_batch_size=batch,
        new_cached_activations_path=str(folder),
        dtype=dtype,
        device="cpu",
        shuffle=False,
        streaming=False,
        prepend_bos=False,
        buffer_size_gb=min(n_tokens, 8 * batch * context) * d_model * getattr(torch, dtype).itemsize / 1e9,
    )
    disable_progress_bars()
    load, runner.load_model = runner.load_model, lambda **_: ReadyModel(ready(shape))
    try:
        with quiet():
            runner.CacheActivationsRunner(config, override_dataset=tokens).run()
    finally:
        runner.load_model = load


def read(folder: Path, d_model: int, context: int, n_rows: int, batch_size: int, buffer_rows: int) -> int:
    """Read the next ``n_rows`` in shuffled batches from a folder that ``write`` made; returns the rows served."""
    store = opened(folder, d_model, context, n_rows, batch_size, buffer_rows)
    served = 0
    with quiet():
        while served < n_rows:
            served += len(store.next_batch())
    return served


@functools.cache
def opened(
    folder: Path, d_model: int, context: int, n_rows: int, batch_size: int, buffer_rows: int
) -> ActivationsStore:
    """The folder's store with its buffer; it begins again when it has served everything."""
    return ActivationsStore(
        model=ReadyModel(torch.zeros(1, context, d_model)),
        dataset=None,
        streaming=False,
        hook_name=HOOK,
        hook_head_index=None,
        context_size=context,
        d_in=d_model,
        n_batches_in_buffer=buffer_rows // context,
        total_training_tokens=n_rows,
        store_batch_size_prompts=16,
        train_batch_size_tokens=batch_size,
        prepend_bos=False,
        normalize_activations="none",
        device=torch.device("cpu"),
        dtype="float32",
        cached_activations_path=str(folder),
    )


@contextlib.contextmanager
def quiet():
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
