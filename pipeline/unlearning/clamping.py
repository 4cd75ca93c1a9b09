"""The ways of clamping that every sweep of clamps tries on its groups."""

from collections.abc import Iterator
from typing import Any

from pipeline.unlearning.case import Case
from pipeline.unlearning.edit import Edit, clamped


def ways(case: Case, method: str, groups: list[list[int]], settings: dict[str, Any]) -> Iterator[Edit]:
    """The groups clamped at every multiplier; with ``mean_ablation`` also to their latents' means.

    Mean ablation sets a latent that fires to its mean code over all tokens of all kinds of text, silent ones included:
    no more than that the latent might be there. Like the multiplier 0 (zero ablation) it is a control.
    """
    scale_s = case.firing.scale(case.target)
    for multiplier in case.settings.multipliers:
        yield clamped(method, case.level, case.target, case.layer, groups, scale_s, multiplier, settings)
    if case.settings.mean_ablation:
        edit = clamped(method, case.level, case.target, case.layer, groups, case.firing.overall_means(), -1.0, settings)
        yield edit._replace(settings=settings | {"multiplier": "mean"})
