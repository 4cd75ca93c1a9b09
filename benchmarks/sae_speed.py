"""Time of a BatchTopK training step against SAELens and against five dense matrix products of the same shape.

    python -m benchmarks.sae_speed [rounds]

One thread, one process, the contestants in turn, process CPU time, the least of ``rounds`` (default 5): a busy machine
slows all alike. "Limit" is what a dense training step cannot beat: encode, decode, and the gradients of codes and of
both weights, in float32.
Prints a table and one JSON line per shape.
"""

import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer

from pipeline.runtime import prepare_process
from pipeline.sae.trainer import Trainer
from pipeline.settings.sae import SAESettings

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
    settings = SAESettings(d_sae=d_sae, k=k, batch_size=len(batch), correlation_every=0)
    trainer = Trainer(settings, batch.mean(0), float(batch.norm(dim=1).mean()), 0, "cpu")
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


def least_seconds(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(contestants, float("inf"))
    for turn in range(WARM_UP + rounds):
        for name, step in contestants.items():
            start = time.process_time()
            step()
            if turn >= WARM_UP:
                best[name] = min(best[name], time.process_time() - start)
    return best


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    prepare_process(1)
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {rounds} rounds")
    print("D, F, batch, k | ours tok/s | vs limit | vs SAELens | SAELens vs limit")
    for d_model, d_sae, n, k in SHAPES:
        batch = rows(n, d_model)
        contestants = {"limit": limit(d_model, d_sae, batch), "ours": ours(d_sae, k, batch)}
        contestants["sae_lens"] = sae_lens(d_sae, k, batch)
        seconds = least_seconds(contestants, rounds)
        result = {
            "shape": [d_model, d_sae, n, k],
            "tokens_per_cpu_second": round(n / seconds["ours"]),
            "vs_limit": round(seconds["limit"] / seconds["ours"], 2),
            "vs_sae_lens": round(seconds["sae_lens"] / seconds["ours"], 2),
            "sae_lens_vs_limit": round(seconds["limit"] / seconds["sae_lens"], 2),
        }
        shape, speed, *ratios = result.values()
        print(f"{shape} | {speed:,} | " + " | ".join(f"{ratio:.2f}x" for ratio in ratios))
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
