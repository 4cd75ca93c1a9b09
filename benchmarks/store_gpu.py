"""Caching on a GPU against the bare forward pass: a Gemma-2-2B-shaped random model, layers 5 and 19, bfloat16.

    uv run python -m benchmarks.store_gpu                       # one CUDA device, 6 GB of disk
    uv run python -m benchmarks.store_gpu --device cpu --width 64 --layers 2 --tokens 2048 --context 64

For every layer: tokens per second of wall time of the whole of caching (store on the local disk) and of its forward
passes alone, best of the repeats, interleaved. Then what 500M tokens would take at that rate. Prints JSON.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.store_inputs import full_contexts, interleaved, make_model, new_job
from pipeline.activations.build import row_bytes
from pipeline.activations.caching import fill_windows, hooked_forward
from pipeline.activations.plan import window_batches
from pipeline.language_model.loading import load_model

HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--layers", type=int, nargs="+", default=[5, 19], help="hook points, resid_post")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--batch_tokens", type=int, default=65_536)
    parser.add_argument("--tokens", type=int, default=1 << 20)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: torch sees no CUDA device; run this where there is one")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = HEADS if given.width == 2304 else {}
        make_model(folder / "model", given.width, max(given.layers) + 1, vocabulary=4092, **sizes)
        rows = [measure(folder, layer, given) for layer in given.layers]
    device = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    print(json.dumps({"device": device, "torch": torch.__version__, "width": given.width, "layers": rows}, indent=1))


def measure(folder: Path, layer: int, given: argparse.Namespace) -> dict[str, float]:
    """One hook point: rates, their ratio, and the arithmetic of 500M tokens."""
    model = load_model(folder / "model", n_layers=layer + 1, dtype="bfloat16", device=given.device)
    name, plan = f"blocks.{layer}.hook_resid_post", full_contexts(given.tokens, given.context)
    with hooked_forward(model, {name: (layer, "resid_post")}) as forward:

        @torch.inference_mode()
        def bare() -> None:
            for window in new_job(folder / "bare", plan, name, given.width, given.batch_tokens).windows:
                for batch in window_batches(plan, window, given.batch_tokens, 0):
                    forward(torch.from_numpy(batch.token_ids_bt))

        def whole() -> None:
            job = new_job(folder / "whole", plan, name, given.width, given.batch_tokens)
            for _ in fill_windows(job, forward, given.width, job.windows):
                pass
            job.finish()

        seconds = interleaved(
            {"bare": lambda: wall_seconds(bare, given.device), "whole": lambda: wall_seconds(whole, given.device)},
            repeats=3,
            before=lambda name: shutil.rmtree(folder / name, ignore_errors=True),
        )
    rate = plan.n_rows / seconds["whole"]
    return {
        "layer": layer,
        "bare_tokens_per_s": plan.n_rows / seconds["bare"],
        "caching_tokens_per_s": rate,
        "ratio_whole_to_bare": seconds["bare"] / seconds["whole"],
        "hours_of_500M_tokens": 500e6 / rate / 3600,
        "terabytes_of_500M_tokens": 500e6 * row_bytes(given.width, "bfloat16") / 1e12,
    }


def wall_seconds(work: Callable[[], None], device: str) -> float:
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
