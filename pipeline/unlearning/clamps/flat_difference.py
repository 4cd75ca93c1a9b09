"""Flat frequency difference and magnitude ratio (CRISP, Ashuach et al. 2025, its selection step).

The ``n`` latents with the largest difference of firing rates, forget minus retain, are salient; of them those stay
whose mean code on text to forget is at least ``tau`` times that on text to retain. Both are per token, so that unequal
corpora compare. Text to retain is, for each latent, the kind (sibling, other, general) that it is most active on.
CRISP trains an adapter to silence these latents; here they are clamped, like every other flat choice.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps.sweep import Ranking, clamps, ranked
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.firing import RETAINED


def choose(case: Case) -> Choice:
    """Sweep the ratio, the number of salient latents and the multiplier."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every ratio, number of salient latents and multiplier."""
    yield from clamps(case, "flat_difference", _rankings(case))


def _rankings(case: Case) -> Iterator[Ranking]:
    rate_s = case.firing.rates(case.target, "forget") - case.firing.retain_rates(case.target)
    forget_s = case.firing.means(case.target, "forget")
    retain_s = np.max([case.firing.means(case.target, name) for name in RETAINED], axis=0)
    for tau in case.settings.magnitude_ratios:
        for n in case.settings.latents:
            yield salient(rate_s, forget_s, retain_s, n, tau)


def salient(difference_s: np.ndarray, forget_s: np.ndarray, retain_s: np.ndarray, n: int, tau: float) -> Ranking:
    """Of the ``n`` latents with the largest positive difference, those of ratio ``tau`` or more, in that order."""
    first = ranked(difference_s, difference_s > 0, {"salient": n, "magnitude_ratio": tau})
    kept = first.latents[:n]
    return first._replace(latents=kept[forget_s[kept] >= tau * retain_s[kept]])
