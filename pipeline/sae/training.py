"""The training loop: batches in, curves out, a checkpoint and a snapshot of the latents' tree now and then.

Several dictionaries may train on the same batches; each has a folder and curves of its own, the checkpoint in the first
one's folder is of all of them.
"""

from pathlib import Path
from typing import Any, Protocol

import torch

from pipeline.errors import PipelineError
from pipeline.progress import track
from pipeline.sae.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pipeline.sae.distributed import from_each, n_processes, rank
from pipeline.sae.learner import Curves, Learner
from pipeline.sae.trainer import Trainer

ROW_EVERY = 10  # steps per row of the curves, and between two looks for divergence


class Loader(Protocol):
    """An endless source of batches that can say and restore where it stands."""

    position: dict[str, Any]

    def __next__(self) -> torch.Tensor: ...


def train(trainers: list[Trainer], loader: Loader, folders: list[Path]) -> list[Curves]:
    """Train to ``settings.steps``, from the checkpoint in the first folder if there is one.

    A run that was killed and started again ends with the same weights, bit for bit, on a CPU: the checkpoint holds
    weights, optimiser, thresholds, counters, code statistics, curves and the loader's position; the schedule is a
    function of the step, and no random number is drawn after the first weights.
    """
    learners = [Learner(trainer, folder) for trainer, folder in zip(trainers, folders, strict=True)]
    _resume(learners, loader)
    settings = trainers[0].settings  # the learners share steps, batches and checkpoints
    begun = trainers[0].step_number
    for step in track(range(begun, settings.steps), "train_sae", settings.steps, "tokens", begun, settings.batch_size):
        batch_bd = next(loader).to(trainers[0].device)
        done = step + 1
        save = done % settings.checkpoint_every == 0
        for learner in learners:
            learner.step(batch_bd, loader.position)
            if done % ROW_EVERY == 0 or save or done == settings.steps:
                learner.close_row()
            learner.cluster_if_due()
        if save:
            _save(learners, loader)
    return [learner.curves for learner in learners]


def _save(learners: list[Learner], loader: Loader) -> None:
    """The first process writes; the loaders of all stand at places of their own."""
    state = {"positions": from_each(loader.position), "learners": [learner.state() for learner in learners]}
    tensors = {f"{i}.{name}": t for i, learner in enumerate(learners) for name, t in learner.tensors().items()}
    if rank() == 0:
        write_checkpoint(learners[0].folder, Checkpoint(tensors, state))


def _resume(learners: list[Learner], loader: Loader) -> None:
    checkpoint = read_checkpoint(learners[0].folder)
    if checkpoint is None:
        return
    positions = checkpoint.state["positions"]
    if len(positions) != n_processes():
        raise PipelineError(
            f"{learners[0].folder} was begun with {len(positions)} processes, not {n_processes()}; "
            "continue with as many, or delete it"
        )
    for i, learner in enumerate(learners):
        own = {name.removeprefix(f"{i}."): t for name, t in checkpoint.tensors.items() if name.startswith(f"{i}.")}
        learner.restore(own, checkpoint.state["learners"][i])
    loader.position = positions[rank()]
