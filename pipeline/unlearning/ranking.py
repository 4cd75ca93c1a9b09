"""From rankings of latents to a sweep of clamps: what all flat methods that rank share."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pipeline.unlearning.case import Case
from pipeline.unlearning.clamping import ways
from pipeline.unlearning.edit import Edit


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


def clamps(case: Case, method: str, rankings: Iterable[Ranking]) -> Iterator[Edit]:
    """Clamp the first n latents of each ranking, at every count of the settings, in every way."""
    for choice in distinct_choices(rankings, case.settings.latents):
        groups = [[int(latent)] for latent in choice.latents]
        yield from ways(case, method, groups, choice.settings)
