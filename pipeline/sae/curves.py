"""Training curves: sums over the steps of an interval become one row of plain numbers."""

import math
from typing import Any

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


def refuse_divergence(measures: list[Measures], trainer: Trainer, position: Any) -> None:
    """Stop at the first step whose loss is no number, or whose error is ten times the variance of its batch.

    The latter only after the warm-up.
    """
    table = torch.stack([torch.stack([m.loss, m.error, m.variance]).double() for m in measures]).tolist()
    settings = trainer.settings
    first = trainer.step_number - len(measures)
    for step, (loss, error, variance) in enumerate(table, first):
        settled = step < settings.warm_up_steps or error <= _EXPLODED * variance
        if math.isfinite(loss) and math.isfinite(error) and settled:
            continue
        raise PipelineError(
            f"SAE training diverged at step {step} (loss {loss:.3g}, batch of {settings.batch_size} rows up to loader "
            f"position {position}); lower `sae.learning_rate` ({settings.learning_rate:g}) or raise "
            f"`sae.warm_up_steps` ({settings.warm_up_steps}); the last good checkpoint is kept"
        )
