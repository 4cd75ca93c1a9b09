"""What sweeps of clamps share: the ways of clamping groups, from rankings of latents to groups, ablation of a choice.

Worth is a sum over latents, from firing or from a first-order effect; it cannot see what a group does beside the
others. Ablation is selection by measured effect, the second step: each group of a chosen clamp is left out in turn, and
stays out where the dev objective is lower for it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.edit import Edit


def ways(case: Case, groups: list[list[int]], settings: dict[str, Any]) -> Candidates:
    """The groups clamped at every multiplier; with ``mean_ablation`` also to their latents' means.

    Mean ablation sets a latent that fires to its mean code over all tokens of all kinds of text, silent ones included:
    no more than that the latent might be there. Like the multiplier 0 (zero ablation) it is a control.
    """
    scale_s = case.firing.scale(case.target)
    for multiplier in case.settings.multipliers:
        yield case.clamp(groups, scale_s, multiplier, settings)
    if case.settings.mean_ablation:
        edit = case.clamp(groups, case.firing.overall_means(), -1.0, settings)
        yield edit._replace(settings=settings | {"multiplier": "mean"})


class Ranking(NamedTuple):
    """Latents that may be taken, the best first, and the settings that ranked them."""

    latents: np.ndarray  # int64 [r]
    settings: dict[str, Any]


def ranked(score_s: np.ndarray, allowed_s: np.ndarray, settings: dict[str, Any]) -> Ranking:
    """The allowed latents by descending score; ties by number."""
    order = np.argsort(-score_s, kind="stable")
    return Ranking(order[allowed_s[order]], settings)


def distinct_choices(rankings: Iterable[Ranking], counts: Iterable[int]) -> Iterator[Ranking]:
    """The first n latents of every ranking and every count n; a set that came before is left out."""
    counts = sorted(set(counts))
    seen: set[frozenset[int]] = {frozenset()}
    for ranking in rankings:
        for n in counts:
            chosen = ranking.latents[:n]
            if frozenset(chosen.tolist()) in seen:  # too few latents may be taken, or another ranking agrees
                continue
            seen.add(frozenset(chosen.tolist()))
            yield Ranking(chosen, ranking.settings | {"n": n})


def clamps(case: Case, rankings: Iterable[Ranking]) -> Candidates:
    """Clamp the first n latents of each ranking, at every count of the settings, in every way."""
    for choice in distinct_choices(rankings, case.settings.latents):
        groups = [[int(latent)] for latent in choice.latents]
        yield from ways(case, groups, choice.settings)


def ablated(edit: Edit) -> Candidates:
    """The edit, then without one group after the other; what lowers the dev objective stays out.

    Passes over the groups until one drops none; ``settings["dropped"]`` counts them.
    """
    best, dropped = (yield edit).objective, True
    while dropped:
        dropped, place = False, 0
        while place < len(edit.groups) and len(edit.groups) > 1:
            shorter = without(edit, place)
            objective = (yield shorter).objective
            if objective < best:
                edit, best, dropped = shorter, objective, True
            else:
                place += 1


def without(edit: Edit, place: int) -> Edit:
    """The edit without one of its groups; latents stand in the order of their groups."""
    sizes = torch.tensor([len(group) for group in edit.groups])
    kept = torch.arange(len(sizes)).repeat_interleave(sizes) != place
    return edit._replace(
        groups=edit.groups[:place] + edit.groups[place + 1 :],
        latents=edit.latents[kept],
        values=edit.values[kept],
        factors=edit.factors[kept],
        settings=edit.settings | {"dropped": edit.settings.get("dropped", 0) + 1},
    )
