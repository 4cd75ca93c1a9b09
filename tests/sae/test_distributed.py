"""Two gloo processes with batches of 32 rows train like one process with 64: same cuts, same weights."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Trainer
from tests.support.settings import recommended

D_MODEL, ROWS, STEPS = 12, 64, 25

WORKER = """
import os, sys
sys.path[:0] = [".", "tests/sae"]
import torch
from safetensors.torch import save_file
from pipeline.sae import distributed
from test_distributed import STEPS, batch, new_trainer

torch.set_num_threads(1)
distributed.join("cpu")
trained = {}
for architecture in ("batch_topk", "jump_relu", "relu"):
    trainer = new_trainer(architecture)
    for step in range(STEPS):
        trainer.step(batch(step).chunk(2)[distributed.rank()])
    trained |= {f"{architecture}.{name}": t.clone() for name, t in trainer.tensors().items()}
save_file(trained, f"{sys.argv[1]}/rank_{distributed.rank()}.safetensors")
"""


def batch(step: int) -> torch.Tensor:
    return torch.randn(ROWS, D_MODEL, generator=torch.Generator().manual_seed(step)) * 3 + 1


def new_trainer(architecture: str) -> Trainer:
    settings = recommended(
        SAESettings,
        architecture=architecture,
        d_sae=40,
        k=1,
        steps=STEPS,
        warm_up_steps=2,
        dead_after_tokens=ROWS,
        correlation_every=0,
        tree_penalty=0,
    )
    sample = torch.cat([batch(step) for step in range(5)])
    return Trainer(settings, by_mean_norm(sample.mean(0), float(sample.norm(dim=1).mean())), 0, "cpu")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    """The tensors of each rank after training under torchrun's environment variables."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {"PATH": "", "PYTHONPATH": ".", "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29591"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder)], env=environment | {"RANK": str(rank)}, cwd=Path.cwd()
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    return [load_file(folder / f"rank_{rank}.safetensors") for rank in range(2)]


@pytest.mark.parametrize("architecture", ["batch_topk", "jump_relu", "relu"])
def test_two_processes_train_like_one_with_the_doubled_batch(architecture, two_processes):
    alone = new_trainer(architecture)
    for step in range(STEPS):
        alone.step(batch(step))
    ours = {name: t for name, t in alone.tensors().items() if not name.startswith("adam")}
    assert architecture == "relu" or alone.dead().any()  # else the shared counters would not be tested
    for rank in two_processes:
        for name, tensor in ours.items():
            torch.testing.assert_close(rank[f"{architecture}.{name}"], tensor, atol=1e-4, rtol=1e-3)


def test_the_processes_end_with_the_same_bits(two_processes):
    first, second = two_processes
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
