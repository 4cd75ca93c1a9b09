"""The training loop: batches in, curves out, a checkpoint and a snapshot of the latents' tree now and then."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from pipeline.progress import track
from pipeline.sae.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pipeline.sae.curves import refuse_divergence, row_of
from pipeline.sae.snapshots import cuts_of, describe, last_snapshot, tree_of, write_snapshot
from pipeline.sae.trainer import Measures, Trainer
from pipeline.sae.tree_penalty import TreePenalty

ROW_EVERY = 10  # steps per row of the curves, and between two looks for divergence


class Loader(Protocol):
    """An endless source of batches that can say and restore where it stands."""

    position: dict[str, Any]

    def __next__(self) -> torch.Tensor: ...


class Curves(NamedTuple):
    """What training leaves behind beside the weights; JSON-able."""

    rows: list[dict[str, Any]]  # losses and figures, one row per ROW_EVERY steps
    snapshots: list[dict[str, Any]]  # the tree's cuts and their stability, one row per snapshot


def train(trainer: Trainer, loader: Loader, folder: Path) -> Curves:
    """Train to ``settings.steps``, from the checkpoint in ``folder`` if there is one.

    A run that was killed and started again ends with the same weights, bit for bit, on a CPU: the checkpoint holds
    weights, optimiser, thresholds, counters, code statistics, curves and the loader's position; the schedule is a
    function of the step, and no random number is drawn after the first weights.
    """
    curves = _resume(trainer, loader, folder)
    settings = trainer.settings
    measures: list[Measures] = []
    steps = range(trainer.step_number, settings.steps)
    for _ in track(steps, "train_sae", settings.steps, "tokens", trainer.step_number, settings.batch_size):
        measures.append(trainer.step(next(loader).to(trainer.device)))
        done = trainer.step_number
        save = done % settings.checkpoint_every == 0
        if done % ROW_EVERY == 0 or save or done == settings.steps:
            refuse_divergence(measures, trainer, loader.position)
            curves.rows.append(row_of(measures, trainer))
            measures = []
        if settings.correlation_every and done % settings.correlation_every == 0:
            _snapshot(trainer, curves, folder)
        if save:
            write_checkpoint(folder, _checkpoint(trainer, loader, curves))
    return curves


def _snapshot(trainer: Trainer, curves: Curves, folder: Path) -> None:
    """Cluster the latents on the codes since the last snapshot; its groups shape the penalty from here on."""
    settings, step = trainer.settings, trainer.step_number
    tree = tree_of(trainer.statistics)
    trainer.statistics.clear()
    if tree is None:
        return
    row = describe(tree, last_snapshot(folder, step - 1), step, settings.tree_threshold, settings.tree_levels)
    write_snapshot(folder, step, tree, row)
    curves.snapshots.append(row)
    _set_penalty(trainer, folder)


def _set_penalty(trainer: Trainer, folder: Path) -> None:
    settings = trainer.settings
    tree = last_snapshot(folder, trainer.step_number)
    if settings.tree_penalty and tree is not None:
        cuts = cuts_of(tree, settings.tree_threshold, settings.tree_levels)
        trainer.tree_penalty = TreePenalty(cuts, settings.d_sae, settings.tree_penalty, trainer.device)


def _checkpoint(trainer: Trainer, loader: Loader, curves: Curves) -> Checkpoint:
    state = {
        "step": trainer.step_number,
        "architecture": trainer.architecture.state,
        "position": loader.position,
        **curves._asdict(),
    }
    return Checkpoint(trainer.tensors(), state)


def _resume(trainer: Trainer, loader: Loader, folder: Path) -> Curves:
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        return Curves([], [])
    state = checkpoint.state
    trainer.restore(checkpoint.tensors, state["step"], state["architecture"])
    loader.position = state["position"]
    _set_penalty(trainer, folder)
    return Curves(state["rows"], state["snapshots"])
