"""The training loop: batches in, curves out, a checkpoint now and then."""

from pathlib import Path
from typing import Any, Protocol

import torch

from pipeline.progress import track
from pipeline.sae.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pipeline.sae.curves import refuse_divergence, row_of
from pipeline.sae.trainer import Measures, Trainer

ROW_EVERY = 10  # steps per row of the curves, and between two looks for divergence


class Loader(Protocol):
    """An endless source of batches that can say and restore where it stands."""

    position: dict[str, Any]

    def __next__(self) -> torch.Tensor: ...


def train(trainer: Trainer, loader: Loader, folder: Path) -> list[dict[str, Any]]:
    """Train to ``settings.steps``, from the checkpoint in ``folder`` if there is one; returns the curves.

    A run that was killed and started again ends with the same weights, bit for bit, on a CPU: the checkpoint holds
    weights, optimiser, thresholds, counters, curves and the loader's position; the schedule is a function of the
    step, and no random number is drawn after the first weights.
    """
    rows = _resume(trainer, loader, folder)
    settings = trainer.settings
    device = trainer.idle_s.device
    measures: list[Measures] = []
    steps = range(trainer.step_number, settings.steps)
    for _ in track(steps, "train_sae", settings.steps, "tokens", trainer.step_number, settings.batch_size):
        measures.append(trainer.step(next(loader).to(device)))
        done = trainer.step_number
        save = done % settings.checkpoint_every == 0
        if done % ROW_EVERY == 0 or save or done == settings.steps:
            refuse_divergence(measures, trainer, loader.position)
            rows.append(row_of(measures, trainer))
            measures = []
        if save:
            write_checkpoint(folder, _checkpoint(trainer, loader, rows))
    return rows


def _checkpoint(trainer: Trainer, loader: Loader, rows: list[dict[str, Any]]) -> Checkpoint:
    state = {
        "step": trainer.step_number,
        "architecture": trainer.architecture.state,
        "position": loader.position,
        "rows": rows,
    }
    return Checkpoint(trainer.tensors(), state)


def _resume(trainer: Trainer, loader: Loader, folder: Path) -> list[dict[str, Any]]:
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        return []
    state = checkpoint.state
    trainer.restore(checkpoint.tensors, state["step"], state["architecture"])
    loader.position = state["position"]
    return state["rows"]
