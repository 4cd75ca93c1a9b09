"""The training loop: batches in, curves out, a checkpoint and a snapshot of the latents' tree now and then."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from pipeline.errors import PipelineError
from pipeline.hierarchy.tree import FeatureTree
from pipeline.progress import track
from pipeline.sae.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pipeline.sae.curves import refuse_divergence, row_of
from pipeline.sae.distributed import from_each, n_processes, rank
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
            _save(trainer, loader, curves, folder)
    return curves


def _snapshot(trainer: Trainer, curves: Curves, folder: Path) -> None:
    """Cluster the latents on the codes since the last snapshot; its groups shape the penalty from here on."""
    settings, step = trainer.settings, trainer.step_number
    trainer.statistics.share()
    tree = tree_of(trainer.statistics)
    trainer.statistics.clear()
    if tree is None:
        return
    _set_penalty(trainer, tree)
    if rank() == 0:
        previous = last_snapshot(folder, step - 1)
        curves.snapshots.append(describe(tree, previous, step, settings.tree_threshold, settings.tree_levels))
        write_snapshot(folder, step, tree, curves.snapshots[-1])


def _set_penalty(trainer: Trainer, tree: FeatureTree | None) -> None:
    settings = trainer.settings
    if settings.tree_penalty and tree is not None:
        cuts = cuts_of(tree, settings.tree_threshold, settings.tree_levels)
        trainer.tree_penalty = TreePenalty(cuts, settings.d_sae, settings.tree_penalty, trainer.device)


def _save(trainer: Trainer, loader: Loader, curves: Curves, folder: Path) -> None:
    """The first process writes; the loaders of all stand at places of their own."""
    positions = from_each(loader.position)
    if trainer.statistics is not None:
        trainer.statistics.share()
    _keep_in_first(trainer)
    state = {"step": trainer.step_number, "architecture": trainer.architecture.state, "positions": positions}
    if rank() == 0:
        write_checkpoint(folder, Checkpoint(trainer.tensors(), state | curves._asdict()))


def _keep_in_first(trainer: Trainer) -> None:
    """The shared sums must be counted once when they are shared again."""
    if rank() > 0 and trainer.statistics is not None:
        trainer.statistics.clear()


def _resume(trainer: Trainer, loader: Loader, folder: Path) -> Curves:
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        return Curves([], [])
    state = checkpoint.state
    if len(state["positions"]) != n_processes():
        raise PipelineError(
            f"{folder} was begun with {len(state['positions'])} processes, not {n_processes()}; "
            "continue with as many, or delete it"
        )
    trainer.restore(checkpoint.tensors, state["step"], state["architecture"])
    _keep_in_first(trainer)
    loader.position = state["positions"][rank()]
    _set_penalty(trainer, last_snapshot(folder, trainer.step_number))
    return Curves(state["rows"], state["snapshots"])
