"""The training loop: batches in, curves out, a checkpoint and a snapshot of the latents' tree now and then.

Several dictionaries may train on the same batches; each has a folder and curves of its own, the checkpoint in the first
one's folder is of all of them, one file that is either complete or not there.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipeline.core.errors import PipelineError
from pipeline.core.progress import track
from pipeline.sae.distributed import from_each, n_processes, rank
from pipeline.sae.learner import Curves, Learner
from pipeline.sae.trainer import Trainer

NAME = "checkpoint.safetensors"


class Checkpoint(NamedTuple):
    """Tensors by name, and the JSON-able rest: step, loader position, thresholds, training curves."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old one or the new one."""
    temporary = folder / f".{NAME}.partial"
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, temporary, metadata={"state": json.dumps(checkpoint.state)})
    temporary.replace(folder / NAME)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The folder's checkpoint, or None before the first one."""
    if not (folder / NAME).exists():
        return None
    with safe_open(folder / NAME, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return Checkpoint(tensors, json.loads(file.metadata()["state"]))


def remove_checkpoint(folder: Path) -> None:
    """A finished dictionary needs no checkpoint."""
    (folder / NAME).unlink(missing_ok=True)


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
