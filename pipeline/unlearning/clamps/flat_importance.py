"""Flat importance ratio (DSG, Muhamed et al. 2025, section 3; its code squares mean activations).

    importance = (mean code over all tokens)^2,   ratio = importance_forget / (importance_retain + 1e-21)

Latents with at least the 5th percentile of importance on text to forget and the 95th percentile of the ratio may be
taken, the most important on text to forget first. Text to retain is the one kind (sibling, other, general) on which
the latent matters most. DSG's guard is not part of it; ``guard_flat`` has one.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps.sweep import Ranking, clamps, ranked
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.firing import RETAINED

TINY = 1e-21  # as in DSG's code: a latent that is silent on text to retain has a huge ratio, not an infinite one
FLOOR = 5.0  # percentile of importance on text to forget, among latents that fire there


def choose(case: Case) -> Choice:
    """Sweep the percentile of the ratio, the number of latents and the multiplier."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every percentile, number of latents and multiplier."""
    yield from clamps(case, "flat_importance", _rankings(case))


def _rankings(case: Case) -> Iterator[Ranking]:
    forget_s = case.firing.means(case.target, "forget") ** 2
    retain_s = np.max([case.firing.means(case.target, name) for name in RETAINED], axis=0) ** 2
    for percentile in case.settings.ratio_percentiles:
        yield important(forget_s, retain_s, percentile)


def important(forget_s: np.ndarray, retain_s: np.ndarray, percentile: float) -> Ranking:
    """The latents above both percentiles, taken over the latents that fire on text to forget."""
    alive_s = forget_s > 0
    ratio_s = forget_s / (retain_s + TINY)
    if not alive_s.any():
        return Ranking(np.empty(0, np.int64), {"ratio_percentile": percentile})
    floor, least = np.percentile(forget_s[alive_s], FLOOR), np.percentile(ratio_s[alive_s], percentile)
    allowed_s = alive_s & (forget_s >= floor) & (ratio_s >= least)
    return ranked(forget_s, allowed_s, {"ratio_percentile": percentile})
