"""One dictionary on its way: its trainer, its curves, its snapshots, and the penalty that follows from the last one."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipeline.hierarchy.tree import FeatureTree
from pipeline.sae.curves import refuse_broken_weights, refuse_divergence, row_of
from pipeline.sae.distributed import rank
from pipeline.sae.snapshots import cuts_of, describe, last_snapshot, tree_of, write_snapshot
from pipeline.sae.trainer import Measures, Trainer
from pipeline.sae.tree_penalty import TreePenalty


class Curves(NamedTuple):
    """What training leaves behind beside the weights; JSON-able."""

    rows: list[dict[str, Any]]  # losses and figures, one row per some steps
    snapshots: list[dict[str, Any]]  # the tree's cuts and their stability, one row per snapshot


class Learner:
    """Takes batches; its owner says when a row of the curves is due and when all is saved."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self.trainer = trainer
        self.folder = folder  # snapshots go here
        self.curves = Curves([], [])
        self._measures: list[Measures] = []  # since the last row
        self._positions: list[Any] = []  # of the loader after each of those batches

    def step(self, batch_bd: torch.Tensor, position: Any) -> None:
        self._measures.append(self.trainer.step(batch_bd))
        self._positions.append(position)

    def close_row(self) -> None:
        """Look for divergence, then sum the steps since the last row into one."""
        refuse_divergence(self._measures, self._positions, self.trainer)
        self.curves.rows.append(row_of(self._measures, self.trainer))
        self._measures, self._positions = [], []

    def cluster_if_due(self) -> None:
        """Cluster the latents on the codes since the last snapshot; its groups shape the penalty from here on."""
        trainer, step = self.trainer, self.trainer.step_number
        if trainer.statistics is None or step % trainer.settings.correlation_every:
            return
        refuse_divergence(self._measures, self._positions, trainer)
        trainer.statistics.share()
        tree = tree_of(trainer.statistics)
        trainer.statistics.clear()
        if tree is None:
            return
        self._set_penalty(tree)
        if rank() == 0:
            previous = last_snapshot(self.folder, step - 1)
            cuts = trainer.settings.tree_threshold, trainer.settings.tree_levels
            self.curves.snapshots.append(describe(tree, previous, step, *cuts))
            write_snapshot(self.folder, step, tree, self.curves.snapshots[-1])

    def _set_penalty(self, tree: FeatureTree | None) -> None:
        settings = self.trainer.settings
        if settings.tree_penalty and tree is not None:
            cuts = cuts_of(tree, settings.tree_threshold, settings.tree_levels)
            self.trainer.tree_penalty = TreePenalty(cuts, settings.d_sae, settings.tree_penalty, self.trainer.device)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint, which must never be of broken weights."""
        refuse_broken_weights(self.trainer)
        if self.trainer.statistics is not None:
            self.trainer.statistics.share()
        self._keep_in_first()
        return self.trainer.tensors()

    def state(self) -> dict[str, Any]:
        """The JSON-able rest of it."""
        trainer = self.trainer
        return {"step": trainer.step_number, "architecture": trainer.architecture.state, **self.curves._asdict()}

    def restore(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        self.trainer.restore(tensors, state["step"], state["architecture"])
        self._keep_in_first()
        self._set_penalty(last_snapshot(self.folder, state["step"]))
        self.curves = Curves(state["rows"], state["snapshots"])

    def _keep_in_first(self) -> None:
        """The shared sums must be counted once when they are shared again."""
        if rank() > 0 and self.trainer.statistics is not None:
            self.trainer.statistics.clear()
