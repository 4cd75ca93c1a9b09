"""From which share of active latents on dense products beat sparse ones: the source of ``kernels.DENSE_ABOVE``.

    python -m benchmarks.sae_density

One thread, least CPU time of three rounds, the four products of a training step after the encoder.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from pipeline.core.processes import prepare_process
from pipeline.sae.sparse import products as kernels

SHAPES = [(128, 1024, 1024), (256, 2304, 2048), (2304, 2304, 1024)]
DENSITIES = (0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.3)


def seconds(dense_above: float, pattern: kernels.Pattern, d_model: int, rounds: int = 3) -> float:
    kernels.DENSE_ABOVE = dense_above
    value = torch.rand(len(pattern.latent))
    weight_sd, rows_bd = torch.randn(pattern.n_latents, d_model), torch.randn(pattern.n_bags, d_model)
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        kernels.row_sums(pattern, value, weight_sd)
        kernels.inner(pattern, rows_bd, weight_sd)
        kernels.latent_sums(pattern, value, rows_bd, pattern.bag)
        kernels.latent_sums(pattern, value, rows_bd, pattern.bag)
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    prepare_process(1)
    print("sparse time / dense time (above 1: dense wins)")
    print("D, F, batch | " + " | ".join(f"{density:.0%}" for density in DENSITIES))
    for d_model, d_sae, n_rows in SHAPES:
        ratios = []
        for density in DENSITIES:
            flat = (torch.rand(n_rows, d_sae) < density).flatten().nonzero().squeeze(1)
            pattern = kernels.find_pattern(flat, n_rows, d_sae, (d_sae,))
            ratios.append(seconds(1.0, pattern, d_model) / seconds(0.0, pattern, d_model))
        print(f"{d_model}, {d_sae}, {n_rows} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()
