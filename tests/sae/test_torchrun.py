"""``torchrun --nproc-per-node=2 -m stages.train_sae`` trains like one process that sees both processes' batches."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.activations.loader import ActivationLoader
from pipeline.activations.plan import split_windows
from pipeline.activations.store import ActivationStore
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings
from pipeline.core.yaml_text import as_yaml
from pipeline.sae.folder import load_dictionary
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.learner import Learner
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Trainer
from tests.support.settings import recommended

ROOT = Path(__file__).resolve().parents[2]
N, D, WINDOW, BATCH = 1024, 4096, 256, 16  # 8 chunks of 128 rows
SECTION = {"d_sae": 24, "k": 3, "steps": 12, "batch_size": BATCH, "warm_up_steps": 2, "checkpoint_every": 5}
SECTION |= {"correlation_every": 6, "dead_after_tokens": 64, "tree_penalty": 0.03}


def write_store(path: Path) -> None:
    """Rows of few directions; chunks of 128 rows, so that two processes have some each."""
    generator = torch.Generator().manual_seed(0)
    acts_nd = torch.randn(N, 20, generator=generator).relu() @ torch.randn(20, D, generator=generator) / 8
    about = {"model": {"id": "tiny"}, "hook_point": "blocks.1.hook_resid_post", "layer": 1}
    options = {"dtype": "float16", "window_rows": WINDOW, "chunk_mib": 1, "compression": "none"}
    create_store(path, N, D, attributes=about, **options)
    writer = WindowWriter(path)
    for window in split_windows(N, WINDOW):
        tokens = {name: np.arange(window.n_rows, dtype=np.int32) for name in ("token_id", "doc_id", "seq_id", "pos")}
        writer.write(window, acts_nd[window.rows].half(), tokens)
    writer.finish(split_windows(N, WINDOW))


def torchrun(folder: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*launch, "-m", "stages.train_sae"], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "data").mkdir()
    write_store(tmp_path / "data/activations.zarr")
    sections = {
        "run": {"seed": 0},
        "machine": recommended(MachineSettings, loader_memory_mib=8).plain(),
        "sae": recommended(SAESettings, **SECTION).plain(),
        "dictionary": {},
    }
    (tmp_path / "data/params.yaml").write_text(as_yaml(sections))
    return tmp_path


def test_the_stage_under_torchrun_equals_one_process_with_the_doubled_batch(folder):
    torchrun(folder)
    store = ActivationStore.open(folder / "data/activations.zarr")
    loaders = [ActivationLoader(store, BATCH, 0, 8, rank=rank, world_size=2) for rank in range(2)]
    alone = Trainer(
        recommended(SAESettings, **SECTION), by_mean_norm(torch.as_tensor(store.mean_d), store.mean_norm), 0, "cpu"
    )
    learner = Learner(alone, folder / "alone")
    for _ in range(SECTION["steps"]):
        learner.step(torch.cat([next(loader) for loader in loaders]), None)
        learner.cluster_if_due()
    assert alone.tree_penalty is not None, "the later steps have the hierarchy-aware loss"
    ours, expected = load_dictionary(folder / "data/sae"), alone.dictionary()
    for name, tensor in expected.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), tensor, atol=1e-4, rtol=1e-3)
    training = read_json(folder / "data/sae/training.json")
    assert [row["step"] for row in training["curves"]] == [5, 10, 12]
    assert [row["step"] for row in training["snapshots"]] == [6, 12]
    assert not (folder / "data/sae/checkpoint.safetensors").exists()
