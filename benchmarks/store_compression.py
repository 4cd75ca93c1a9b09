"""What each way of storing activations costs: bytes, reading, and an SAE's explained variance.

    uv run python -m benchmarks.store_compression data/activations.zarr

The rows of a store are written again in each form, read back once, and a BatchTopK SAE is trained on each copy with the
same seed and batches; it is judged on the exact rows of the store's last eighth, which no copy's training saw. Prints
JSON.
"""

import argparse
import json
import shutil
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch

from pipeline.activations.loader import ActivationLoader
from pipeline.activations.plan import split_windows
from pipeline.activations.store import TOKEN_ARRAYS, ActivationStore
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.core.processes import prepare_process
from pipeline.sae.build import measure
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.trainer import Trainer
from studies.recommended import recommended

FORMS = {  # dtype, compression, mantissa bits kept
    "bfloat16": ("bfloat16", "none", None),
    "bfloat16, zstd": ("bfloat16", "zstd", None),
    "bfloat16, 5 bits, zstd": ("bfloat16", "zstd", 5),
    "bfloat16, 3 bits, zstd": ("bfloat16", "zstd", 3),
    "bfloat16, 2 bits, zstd": ("bfloat16", "zstd", 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rows", type=int, default=131_072, help="rows of the store that are copied")
    arguments = parser.parse_args()
    prepare_process(threads=1)
    source = ActivationStore.open(arguments.store)
    n_rows = min(arguments.rows, source.n_tokens * 3 // 4)
    unseen_nd = source.rows(source.n_tokens - source.n_tokens // 8, source.n_tokens)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for name, form in FORMS.items():
            copy = write_copy(source, n_rows, Path(folder) / "copy.zarr", *form)
            row = {"form": name, "bytes_per_row": chunk_bytes(copy) / n_rows, "read_cpu_s_per_gb": read_cost(copy)}
            table.append(row | {"explained_variance": explained_variance(copy, unseen_nd, arguments.steps)})
            shutil.rmtree(folder)
            Path(folder).mkdir()
    print(json.dumps({"rows": n_rows, "d_model": source.d_model, "steps": arguments.steps, "table": table}, indent=1))


def write_copy(
    source: ActivationStore, n_rows: int, path: Path, dtype: str, compression: str, bits: int | None
) -> ActivationStore:
    window_rows = 131_072
    create_store(
        path,
        n_rows,
        source.d_model,
        dtype=dtype,
        window_rows=window_rows,
        chunk_mib=16,
        compression=compression,
        attributes={},
    )
    writer, windows = WindowWriter(path, bits), split_windows(n_rows, window_rows)
    for window in windows:
        acts_nd = source.rows(window.rows.start, window.rows.stop).to(getattr(torch, dtype))
        zeros = torch.zeros(window.n_rows, dtype=torch.int32).numpy()
        writer.write(window, acts_nd, dict.fromkeys(TOKEN_ARRAYS, zeros))
    writer.finish(windows)
    return ActivationStore.open(path)


def chunk_bytes(store: ActivationStore) -> int:
    return sum(path.stat().st_size for path in (Path(store.path) / "activations/c").rglob("*") if path.is_file())


def read_cost(store: ActivationStore) -> float:
    """CPU seconds to read a gigabyte of rows (as bfloat16), checks included, from warm files; the least of three."""
    costs = []
    for _ in range(3):
        started = time.process_time()
        store.raw_rows(0, store.n_tokens)
        costs.append(time.process_time() - started)
    return min(costs) / (store.n_tokens * store.d_model * 2 / 1e9)


def explained_variance(store: ActivationStore, unseen_nd: torch.Tensor, steps: int) -> float:
    settings = recommended().sae.but(steps=steps, correlation_every=0, tree_penalty=0.0)
    trainer = Trainer(settings, by_mean_norm(torch.as_tensor(store.mean_d), store.mean_norm), 0, "cpu")
    for acts_bd in islice(ActivationLoader(store, settings.batch_size, 0, 4096), steps):
        trainer.step(acts_bd)
    return measure(trainer.dictionary(), iter(unseen_nd.split(4096)), torch.as_tensor(store.mean_d))[
        "explained_variance"
    ]


if __name__ == "__main__":
    main()
