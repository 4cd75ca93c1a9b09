"""Time of a BatchTopK training step against SAELens, dictionary_learning and five dense products of the same shape.

    uv pip install --no-deps --target FOLDER dictionary-learning==0.1.0
    PYTHONPATH=FOLDER uv run python -m benchmarks.sae_speed [rounds]

dictionary_learning pins an old nnsight, so it cannot live beside what this project needs. Only its trainer is used,
which needs torch and einops alone; an empty stand-in answers for nnsight. Without the first line it is left out.

One thread, one process, the contestants in turn, process CPU time, the least of ``rounds`` (default 4): a busy machine
slows all alike. "Limit" is what a dense training step cannot beat: encode, decode, and the gradients of codes and of
both weights, in float32. Where a share of the latents is dead they cannot fire and have not fired for long, so that
every contestant's auxiliary loss is at work. Peak memory is that of a process of its own, over what it had before the
first step. Prints a row a shape and writes benchmarks/sae_speed.json.
"""

import importlib.util
import json
import multiprocessing
import os
import resource
import sys
import time
import types
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer

from pipeline.core.files import write_json
from pipeline.core.processes import prepare_process
from pipeline.sae.inputs import Inputs, by_mean_norm
from pipeline.sae.trainer import Trainer
from studies.recommended import recommended

RESULT = Path(__file__).with_suffix(".json")
SILENT = -10.0  # bias of a dead latent's encoder; the inputs have a norm of about 1
WARM_UP = 3


class Shape(NamedTuple):
    """One row of the table."""

    d_model: int
    d_sae: int
    batch: int
    k: int
    dead: float = 0.0
    standardised: bool = False  # inputs with a scale for every dimension; ours alone has them

    @property
    def n_dead(self) -> int:
        return int(self.dead * self.d_sae)


SHAPES = [
    Shape(128, 1024, 1024, 16),
    Shape(256, 2304, 4096, 32),
    Shape(2304, 2304, 4096, 64),
    Shape(2304, 16384, 512, 64),
    Shape(640, 4096, 2048, 32),  # Gemma 3 270M
    Shape(640, 4096, 2048, 32, dead=0.3),
    Shape(640, 4096, 2048, 32, dead=0.7),
    Shape(640, 4096, 2048, 32, standardised=True),
    Shape(640, 16384, 1024, 32),
    Shape(640, 16384, 1024, 32, dead=0.7),
]


def rows(n: int, d_model: int) -> torch.Tensor:
    """Activations of about 8 of 2 d_model directions each."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(2 * d_model, d_model, generator=generator), dim=1)
    present = torch.rand(n, 2 * d_model, generator=generator) < 4 / d_model
    return (present * torch.rand(n, 2 * d_model, generator=generator)) @ directions


def limit(d_model: int, d_sae: int, batch: torch.Tensor) -> Callable[[], None]:
    """Five products of [b, d] with [d, s] size."""
    w_sd, z_bs = torch.randn(d_sae, d_model), torch.randn(len(batch), d_sae)
    out_bs, out_bd, out_sd = torch.empty_like(z_bs), torch.empty_like(batch), torch.empty_like(w_sd)

    def products() -> None:
        torch.mm(batch, w_sd.T, out=out_bs)  # encode
        torch.mm(z_bs, w_sd, out=out_bd)  # decode
        torch.mm(out_bd, w_sd.T, out=out_bs)  # gradient of the codes
        torch.mm(z_bs.T, batch, out=out_sd)  # gradient of the decoder
        torch.mm(z_bs.T, batch, out=out_sd)  # gradient of the encoder

    return products


def ours(shape: Shape, batch: torch.Tensor) -> Callable[[], object]:
    sizes = {"d_sae": shape.d_sae, "k": shape.k, "batch_size": len(batch)}
    settings = recommended().sae.but(**sizes, correlation_every=0, tree_penalty=0.0)
    inputs = by_mean_norm(batch.mean(0), float(batch.norm(dim=1).mean()))
    if shape.standardised:
        inputs = Inputs(batch.mean(0).double(), 1 / (batch.std(0).double() * shape.d_model**0.5), None)
    trainer = Trainer(settings, inputs, 0, "cpu")
    _silence(trainer.weights.b_enc, shape)
    trainer.idle_s[: shape.n_dead] = settings.dead_after_tokens
    return lambda: trainer.step(batch)


def _silence(bias_s: torch.Tensor, shape: Shape) -> None:
    with torch.no_grad():
        bias_s[: shape.n_dead] = SILENT


def sae_lens(shape: Shape, batch: torch.Tensor) -> Callable[[], object]:
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=shape.d_model, d_sae=shape.d_sae, k=shape.k))
    config = SAETrainerConfig(10**9, len(batch), lr=1e-3, lr_end=1e-4)
    trainer = SAETrainer(config, sae, data_provider=iter([batch]))
    _silence(sae.b_enc, shape)
    trainer.n_forward_passes_since_fired[: shape.n_dead] = config.dead_feature_window + 1

    def step() -> None:
        trainer.step(batch)
        trainer.n_training_steps += 1

    return step


def dictionary_learning(shape: Shape, batch: torch.Tensor) -> Callable[[], object]:
    sys.modules.setdefault("nnsight", types.SimpleNamespace(LanguageModel=None))  # its buffer asks for it on import
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

    trainer = BatchTopKTrainer(
        10**9, shape.d_model, shape.d_sae, shape.k, layer=0, lm_name="none", threshold_start_step=0, device="cpu"
    )
    _silence(trainer.ae.encoder.bias, shape)
    trainer.num_tokens_since_fired[: shape.n_dead] = trainer.dead_feature_threshold
    return lambda: trainer.update(1, batch)


CONTESTANTS = {"ours": ours, "sae_lens": sae_lens, "dictionary_learning": dictionary_learning}


def contestants() -> list[str]:
    """Those that are installed."""
    return [name for name in CONTESTANTS if name != "dictionary_learning" or importlib.util.find_spec(name)]


def peak_mib(name: str, shape: Shape) -> int:
    """Memory that three steps of one contestant take at most, over what its process had before it."""
    prepare_process(1)
    warnings.simplefilter("ignore")
    batch = rows(shape.batch, shape.d_model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = CONTESTANTS[name](shape, batch)
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def _peaks(shape: Shape) -> dict[str, int]:
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as pool:
        return {name: pool.submit(peak_mib, name, shape).result() for name in contestants()}


def least_seconds(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(WARM_UP + rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn >= WARM_UP:
                best[name] = min(best[name], time.process_time() - start)
    return best


def compare(shape: Shape, rounds: int) -> dict[str, object]:
    """Seconds, ratios and memory of one shape."""
    batch = rows(shape.batch, shape.d_model)
    steps = {"limit": limit(shape.d_model, shape.d_sae, batch)}
    seconds = least_seconds(steps | {name: CONTESTANTS[name](shape, batch) for name in contestants()}, rounds)
    return {
        "shape": list(shape),
        "tokens_per_cpu_second": round(shape.batch / seconds["ours"]),
        "peak_mib": _peaks(shape),
        "cpu_seconds": {name: round(value, 4) for name, value in seconds.items()},
        "ratio": {name: round(value / seconds["ours"], 2) for name, value in seconds.items() if name != "ours"},
    }


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    prepare_process(1)
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"torch": torch.__version__, "rounds": rounds, "cpu": cpu_name(), "shapes": []}
    for shape in SHAPES:
        row = compare(shape, rounds) | {"load": round(os.getloadavg()[0], 1)}
        print(json.dumps(row), flush=True)
        found["shapes"].append(row)
        write_json(RESULT, found)


def cpu_name() -> str:
    """Of this machine, with the widest arithmetic that it has."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    of = {
        name: next(line.partition(":")[2] for line in lines if line.startswith(name))
        for name in ("model name", "flags")
    }
    widest = next(name for name in ("amx_bf16", "avx512f", "avx2", "sse2") if name in of["flags"].split())
    return f"{of['model name'].strip()}, {widest}"


if __name__ == "__main__":
    main()
