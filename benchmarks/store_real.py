"""Caching a real model's activations against its bare forward pass: the model and the text of a finished run in data/.

    uv run python -m benchmarks.store_real --layers 8 12

The documents are those of the run, batched by length, in the arithmetic that this processor does best. For every layer:
tokens per second of wall time of caching (the stream is written) and of its forward passes alone, best of the repeats,
interleaved; and memory after the first and the last repeat. Then loader and encoder on the run's own store beside plain
reads of its chunks. Writes benchmarks/store_real.json.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import psutil
import torch

from benchmarks.store_inputs import interleaved, new_job
from pipeline.activations.arithmetic import arithmetic_for
from pipeline.activations.caching import fill_windows, hooked_forward
from pipeline.activations.loader import ActivationLoader
from pipeline.activations.plan import TokenPlan, plan_tokens, window_batches
from pipeline.activations.store import ActivationStore
from pipeline.core.files import read_jsonl, write_json
from pipeline.core.processes import prepare_process
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.sae.folder import load_dictionary

DATA, RESULT = Path("data"), Path(__file__).with_name("store_real.json")
BATCH = 2048  # rows of a batch of training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 12], help="hook points, resid_post")
    parser.add_argument("--documents", type=int, default=160)
    parser.add_argument("--batch_tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    prepare_process(given.threads)
    arithmetic = arithmetic_for("auto", "cpu")
    with tempfile.TemporaryDirectory() as name:
        plan = plan_of(given.documents, Path(name) / "tokens")
        rows = [caching(Path(name), plan, layer, arithmetic, given) for layer in given.layers]
    found = {"processor": torch.backends.cpu.get_cpu_capability(), "arithmetic": arithmetic, "threads": given.threads}
    write_json(RESULT, found | {"tokens": plan.n_rows, "caching": rows, "reading": reading(given.repeats)})
    print(RESULT.read_text())


def plan_of(n_documents: int, folder: Path) -> TokenPlan:
    """The run's first documents, one a sequence."""
    texts = (row["text"] for row in islice(read_jsonl(DATA / "corpus/train.jsonl"), n_documents))
    tokenizer, context = load_tokenizer(DATA / "model"), 1024
    sizes = {"packing": "document", "context_length": context, "keep_special": False, "max_rows": None}
    return plan_tokens(texts, tokenizer, folder, **sizes)


def caching(folder: Path, plan: TokenPlan, layer: int, arithmetic: str, given: argparse.Namespace) -> dict[str, float]:
    """One hook point: rates, their ratio, and whether memory stays where it was."""
    model = load_model(DATA / "model", n_layers=layer + 1, device="cpu")
    width, name = model.config.get_text_config().hidden_size, f"blocks.{layer}.hook_resid_post"
    memory = []
    with hooked_forward(model, {name: (layer, "resid_post")}, arithmetic) as forward:

        @torch.inference_mode()
        def bare() -> None:
            for window in new_job(folder / "bare", plan, name, width, given.batch_tokens).windows:
                for batch in window_batches(plan, window, given.batch_tokens, 0):
                    forward(torch.from_numpy(batch.token_ids_bt))

        def whole() -> None:
            job = new_job(folder / "whole", plan, name, width, given.batch_tokens)
            for _ in fill_windows(job, forward, width, job.windows):
                pass
            job.finish()
            memory.append(psutil.Process().memory_info().rss / 2**30)

        seconds = interleaved(
            {"bare": lambda: wall_seconds(bare), "whole": lambda: wall_seconds(whole)},
            given.repeats,
            before=lambda name: shutil.rmtree(folder / name, ignore_errors=True),
        )
    return {
        "layer": layer,
        "bare_tokens_per_s": plan.n_rows / seconds["bare"],
        "caching_tokens_per_s": plan.n_rows / seconds["whole"],
        "ratio_whole_to_bare": seconds["bare"] / seconds["whole"],
        "gib_after_first": memory[0],
        "gib_after_last": memory[-1],
    }


def reading(repeats: int) -> dict[str, float]:
    """Rows per second of plain reads of the store's chunks, of the loader, and of encoding what it gives."""
    store, dictionary = ActivationStore.open(DATA / "activations.zarr"), load_dictionary(DATA / "sae")
    n_rows = store.n_tokens // BATCH * BATCH
    starts = range(0, n_rows, store.chunk_rows)

    def chunks() -> None:
        for start in starts:
            store.rows(start, min(start + store.chunk_rows, n_rows))

    def loader(then: Callable[[torch.Tensor], object] = lambda rows: None) -> None:
        batches = ActivationLoader(store, BATCH, 0, 2048)
        for _ in range(n_rows // BATCH):
            then(next(batches))

    work = {"chunks": chunks, "loader": loader, "encoder": lambda: loader(dictionary.encode)}
    seconds = interleaved({name: lambda do=do: wall_seconds(do) for name, do in work.items()}, repeats)
    return {f"{name}_rows_per_s": n_rows / seconds[name] for name in work}


def wall_seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
