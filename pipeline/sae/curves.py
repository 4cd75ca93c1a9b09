"""Training curves: sums over the steps of an interval become one row of plain numbers."""

import math
from typing import Any, NoReturn

import torch

from pipeline.errors import PipelineError
from pipeline.sae.trainer import Measures, Trainer, learning_rate

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
