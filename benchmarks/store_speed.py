"""The store's speed against SAELens, a bare model and a set in memory; interleaved, one thread, CPU seconds.

    uv run python -m benchmarks.store_speed                       # d = 2304, some minutes, 3 GB of disk
    uv run python -m benchmarks.store_speed --tokens 4096 --d_model 256 --repeats 1

CPU seconds of the whole process (all threads), the least of the repeats: on a shared machine that is what a measure
of speed can rest on. Prints JSON; benchmarks/store_speed.json holds a run at full size.
"""

import argparse
import functools
import json
import multiprocessing
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import torch

from benchmarks import store_peer
from benchmarks.store_inputs import BATCH, CONTEXT, full_contexts, interleaved, make_model, new_job
from pipeline.activations.caching import fill_windows, hooked_forward
from pipeline.activations.loader import ActivationLoader
from pipeline.activations.plan import window_batches
from pipeline.activations.store import ActivationStore
from pipeline.core.processes import prepare_process
from pipeline.language_model.loading import load_model
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.trainer import Trainer
from studies.recommended import recommended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=131_072)
    parser.add_argument("--d_model", type=int, default=2304)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    prepare_process(threads=1)
    with tempfile.TemporaryDirectory() as name:
        sizes = (Path(name), arguments.tokens, arguments.d_model, arguments.repeats)
        result = {
            "tokens": arguments.tokens,
            "d_model": arguments.d_model,
            "machine": f"{platform.machine()}, one thread",
            "versions": {package: version(package) for package in ("sae-lens", "torch", "zarr", "datasets")},
            "writing": measure_writing(*sizes),
            "loading": measure_loading(*sizes),
            "training": measure_training(*sizes),
            "caching": measure_caching(*sizes),
        }
    print(json.dumps(result, indent=1))


def measure_writing(folder: Path, n_tokens: int, d_model: int, repeats: int) -> dict[str, float]:
    """From activations that are ready in bfloat16 to a finished store; tokens per CPU second."""
    shape = (BATCH // CONTEXT, CONTEXT, d_model)
    acts_btd = torch.randn(shape).bfloat16()
    variants = {
        "ours": lambda: cpu_seconds(write_ours, folder / "ours", acts_btd, n_tokens),
        "float32": lambda: in_peer(store_peer.write, folder / "float32", shape, n_tokens, "float32"),
        "float16": lambda: in_peer(store_peer.write, folder / "float16", shape, n_tokens, "float16"),
    }
    seconds = interleaved(variants, repeats, before=lambda name: shutil.rmtree(folder / name, ignore_errors=True))
    return {
        "ours_tokens_per_cpu_s": n_tokens / seconds["ours"],
        "sae_lens_float32_tokens_per_cpu_s": n_tokens / seconds["float32"],
        "sae_lens_float16_tokens_per_cpu_s": n_tokens / seconds["float16"],
        "ratio_to_sae_lens_float32": seconds["float32"] / seconds["ours"],
        "ratio_to_sae_lens_float16": seconds["float16"] / seconds["ours"],
        "ours_bytes_per_token": folder_bytes(folder / "ours") / n_tokens,
        "sae_lens_float32_bytes_per_token": folder_bytes(folder / "float32") / n_tokens,
    }


def measure_loading(folder: Path, n_tokens: int, d_model: int, repeats: int) -> dict[str, float]:
    """Shuffled float32 batches from the stores that ``measure_writing`` left; rows per CPU second.

    Each loader is opened once and goes on epoch after epoch, as in training.
    """
    store = ActivationStore.open(folder / "ours")
    buffer_rows = min(16_384, n_tokens // 2)
    streamed_mib = 2 * buffer_rows * d_model * 2 >> 20
    streamed, resident = (ActivationLoader(store, BATCH, 0, mib) for mib in (streamed_mib, 1 << 16))
    variants = {
        "ours_streamed": lambda: cpu_seconds(serve, streamed, n_tokens),
        "ours_resident": lambda: cpu_seconds(serve, resident, n_tokens),
        "sae_lens": lambda: in_peer(
            store_peer.read, folder / "float32", d_model, CONTEXT, n_tokens, BATCH, buffer_rows
        ),
    }
    seconds = interleaved(variants, repeats)
    result = {f"{name}_rows_per_cpu_s": n_tokens / best for name, best in seconds.items()}
    return result | {"ratio_to_sae_lens": seconds["sae_lens"] / seconds["ours_streamed"]}


def measure_training(folder: Path, n_tokens: int, d_model: int, repeats: int) -> dict[str, float]:
    """BatchTopK steps fed from disk and from a shuffled tensor in memory; the share of the speed that is kept."""
    store = ActivationStore.open(folder / "ours")
    streamed_mib = 2 * min(16_384, n_tokens // 2) * d_model * 2 >> 20
    settings = recommended().sae.but(d_sae=2304, k=64, batch_size=BATCH, correlation_every=0, tree_penalty=0.0)
    mean_d, steps = torch.as_tensor(store.mean_d), min(4, n_tokens // BATCH)
    ready_nd = store.rows(0, steps * BATCH)

    def train(batches) -> None:
        trainer = Trainer(settings, by_mean_norm(mean_d, store.mean_norm), 0, "cpu")
        for acts_bd in islice(batches, steps):
            trainer.step(acts_bd)

    variants = {
        "memory": lambda: cpu_seconds(train, ready_nd.split(BATCH)),
        "disk": lambda: cpu_seconds(train, ActivationLoader(store, BATCH, 0, streamed_mib)),
    }
    seconds = interleaved(variants, repeats)
    rates = {f"{name}_rows_per_cpu_s": steps * BATCH / best for name, best in seconds.items()}
    return rates | {"ratio_disk_to_memory": seconds["memory"] / seconds["disk"]}


def measure_caching(folder: Path, n_tokens: int, d_model: int, repeats: int) -> dict[str, float]:
    """A random Gemma-2 (256 wide, hook in layer 3): the whole of caching against its forward passes alone."""
    make_model(folder / "model", d_model=256, n_layers=6, vocabulary=4092)
    model = load_model(folder / "model", n_layers=4)
    name = "blocks.3.hook_resid_post"
    plan = full_contexts(min(n_tokens, 16_384))
    with hooked_forward(model, {name: (3, "resid_post")}) as forward:

        @torch.inference_mode()
        def bare() -> None:
            job = new_job(folder / "bare", plan, name, 256)
            for window in job.windows:
                for batch in window_batches(plan, window, BATCH, 0):
                    forward(torch.from_numpy(batch.token_ids_bt))

        def whole() -> None:
            job = new_job(folder / "whole", plan, name, 256)
            for _ in fill_windows(job, forward, 256, job.windows):
                pass
            job.finish()

        seconds = interleaved(
            {"bare": lambda: cpu_seconds(bare), "whole": lambda: cpu_seconds(whole)},
            repeats,
            before=lambda name: shutil.rmtree(folder / name, ignore_errors=True),
        )
    rates = {f"{name}_tokens_per_cpu_s": plan.n_rows / best for name, best in seconds.items()}
    return rates | {"ratio_whole_to_bare": seconds["bare"] / seconds["whole"]}


def write_ours(path: Path, acts_btd: torch.Tensor, n_tokens: int) -> None:
    job = new_job(path, full_contexts(n_tokens), store_peer.HOOK, acts_btd.shape[2])
    for _ in fill_windows(
        job, lambda ids_bt: {store_peer.HOOK: acts_btd[: len(ids_bt)]}, acts_btd.shape[2], job.windows
    ):
        pass
    job.finish()


def serve(loader: ActivationLoader, n_rows: int) -> None:
    for _ in islice(loader, n_rows // BATCH):
        pass


def cpu_seconds(work: Callable, *arguments: object) -> float:
    """CPU seconds, user and system, of all threads of this process."""
    started = time.process_time()
    work(*arguments)
    return time.process_time() - started


def in_peer(work: Callable, *arguments: object) -> float:
    """``cpu_seconds`` in a process of SAELens' own, which has the allocator that its users have."""
    return _peer().submit(cpu_seconds, work, *arguments).result()


@functools.cache
def _peer() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_as_its_users)


def _as_its_users() -> None:
    """One thread, and none of what ``prepare_process`` sets."""
    os.environ.pop("THP_MEM_ALLOC_ENABLE")
    torch.set_num_threads(1)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
