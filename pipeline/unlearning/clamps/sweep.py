"""What sweeps of clamps share: the ways of clamping groups, and the way from rankings of latents to groups."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pipeline.unlearning.case import Candidates, Case


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
