"""One dictionary on its way: its trainer, its curves, its snapshots, and the penalty that follows from the last one.

A row of the curves is plain numbers, sums over the steps of an interval.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch

from pipeline.core.errors import PipelineError
from pipeline.sae.distributed import rank
from pipeline.sae.snapshots import TreePenalty, cuts_of, describe, last_snapshot, tree_of, write_snapshot
from pipeline.sae.trainer import Measures, Trainer, learning_rate
from pipeline.tree.feature_tree import FeatureTree

# A reconstruction ten times worse than always answering the mean is no fluctuation once the warm-up is over; before,
# half of the latents may fire, and their random directions add up to an error of that size.
_EXPLODED = 10.0


def row_of(measures: list[Measures], trainer: Trainer) -> dict[str, Any]:
    """One row of the curves: means over the steps since the last row."""
    sums = _sums(measures)
    rows = sum(measure.rows for measure in measures)
    steps = len(measures)
    return {
        "step": trainer.step_number,
        "loss": sums["loss"] / steps,
        "explained_variance": 1 - sums["error"] / sums["variance"],
        "l0": sums["active"] / rows,
        "dead_share": float(trainer.dead().float().mean()),
        "sparsity_loss": sums["sparsity"] / steps,
        "tree_loss": sums["tree"] / steps,
        "auxiliary_loss": sums["auxiliary"] / steps,
        "learning_rate": learning_rate(trainer.settings, trainer.step_number - 1),
        **trainer.architecture.state,
    }


def _sums(measures: list[Measures]) -> dict[str, float]:
    """Sum each tensor over the steps with one transfer from the device."""
    names = ("loss", "error", "variance", "sparsity", "tree", "auxiliary", "active")
    table = torch.stack([torch.stack([getattr(m, name).double() for name in names]) for m in measures])
    return dict(zip(names, table.sum(0).tolist(), strict=True))


def refuse_divergence(measures: list[Measures], positions: list[Any], trainer: Trainer) -> None:
    """Stop at the first step whose loss is no number, or whose error is ten times the variance of its batch.

    The latter only after the warm-up. ``positions`` are the loader's after each batch.
    """
    if not measures:
        return
    table = torch.stack([torch.stack([m.loss, m.error, m.variance]).double() for m in measures]).tolist()
    first = trainer.step_number - len(measures)
    for step, ((loss, error, variance), position) in enumerate(zip(table, positions, strict=True), first):
        settled = step < trainer.settings.warm_up_steps or error <= _EXPLODED * variance
        if not (math.isfinite(loss) and math.isfinite(error) and settled):
            rows = trainer.settings.batch_size
            _refuse(trainer, f"at step {step} (loss {loss:.3g}, batch of {rows} rows that ends at loader {position})")


def refuse_broken_weights(trainer: Trainer) -> None:
    """An update can break weights whose loss was still finite; the next loss would show it, but a checkpoint not."""
    if not all(bool(weight.isfinite().all()) for weight in trainer.weights.parameters()):
        _refuse(trainer, f"at step {trainer.step_number - 1} (weights that are no numbers)")


def _refuse(trainer: Trainer, what: str) -> NoReturn:
    settings = trainer.settings
    raise PipelineError(
        f"SAE training diverged {what}; lower `sae.learning_rate` ({settings.learning_rate:g}) or raise "
        f"`sae.warm_up_steps` ({settings.warm_up_steps}); the last good checkpoint is kept"
    )


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
            write_snapshot(self.folder, step, tree)

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
