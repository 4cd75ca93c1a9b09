"""Time of a BatchTopK training step against SAELens, dictionary_learning and five dense products of the same shape.

    uv pip install --no-deps --target FOLDER dictionary-learning==0.1.0
    PYTHONPATH=FOLDER uv run python -m benchmarks.sae_speed [rounds]

dictionary_learning pins an old nnsight, so it cannot live beside what this project needs. Only its trainer is used,
which needs torch and einops alone; an empty stand-in answers for nnsight. Without the first line it is left out.

One thread, one process, the contestants in turn, process CPU time, the least of ``rounds`` (default 5): a busy machine
slows all alike. "Limit" is what a dense training step cannot beat: encode, decode, and the gradients of codes and of
both weights, in float32. Prints a table and writes benchmarks/sae_speed.json.
"""

import importlib.util
import json
import os
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer

from pipeline.core.files import write_json
from pipeline.core.processes import prepare_process
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.trainer import Trainer
from studies.recommended import recommended

RESULT = Path(__file__).with_suffix(".json")
SHAPES = [(128, 1024, 1024, 16), (256, 2304, 4096, 32), (2304, 2304, 4096, 64), (2304, 16384, 512, 64)]
WARM_UP = 3


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


def ours(d_sae: int, k: int, batch: torch.Tensor) -> Callable[[], object]:
    settings = recommended().sae.but(d_sae=d_sae, k=k, batch_size=len(batch), correlation_every=0, tree_penalty=0.0)
    trainer = Trainer(settings, by_mean_norm(batch.mean(0), float(batch.norm(dim=1).mean())), 0, "cpu")
    return lambda: trainer.step(batch)


def sae_lens(d_sae: int, k: int, batch: torch.Tensor) -> Callable[[], object]:
    d_model = batch.shape[1]
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=d_model, d_sae=d_sae, k=k))
    config = SAETrainerConfig(10**9, len(batch), lr=1e-3, lr_end=1e-4)
    trainer = SAETrainer(config, sae, data_provider=iter([batch]))

    def step() -> None:
        trainer.step(batch)
        trainer.n_training_steps += 1

    return step


def dictionary_learning(d_sae: int, k: int, batch: torch.Tensor) -> Callable[[], object]:
    sys.modules.setdefault("nnsight", types.SimpleNamespace(LanguageModel=None))  # its buffer asks for it on import
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

    trainer = BatchTopKTrainer(
        10**9, batch.shape[1], d_sae, k, layer=0, lm_name="none", threshold_start_step=0, device="cpu"
    )
    return lambda: trainer.update(1, batch)


def least_seconds(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(contestants, float("inf"))
    for turn in range(WARM_UP + rounds):
        for name, step in contestants.items():
            start = time.process_time()
            step()
            if turn >= WARM_UP:
                best[name] = min(best[name], time.process_time() - start)
    return best


def compare(shape: tuple[int, int, int, int], rounds: int) -> dict[str, object]:
    """Seconds and ratios of one shape."""
    d_model, d_sae, n, k = shape
    batch = rows(n, d_model)
    contestants = {"limit": limit(d_model, d_sae, batch), "ours": ours(d_sae, k, batch)}
    contestants["sae_lens"] = sae_lens(d_sae, k, batch)
    if importlib.util.find_spec("dictionary_learning"):
        contestants["dictionary_learning"] = dictionary_learning(d_sae, k, batch)
    seconds = least_seconds(contestants, rounds)
    return {
        "shape": list(shape),
        "tokens_per_cpu_second": round(n / seconds["ours"]),
        "cpu_seconds": {name: round(value, 4) for name, value in seconds.items()},
        "ratio": {name: round(value / seconds["ours"], 2) for name, value in seconds.items() if name != "ours"},
    }


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    prepare_process(1)
    warnings.simplefilter("ignore")
    found: dict[str, object] = {"torch": torch.__version__, "rounds": rounds, "cpu": cpu_name(), "shapes": []}
    for shape in SHAPES:
        row = compare(shape, rounds) | {"load": round(os.getloadavg()[0], 1)}
        print(json.dumps(row), flush=True)
        found["shapes"].append(row)
        write_json(RESULT, found)


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
