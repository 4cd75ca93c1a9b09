"""Whole groups of one cut: the dendrogram is cut at a level, its groups are ranked, the first few are clamped entirely.

A group's score is the sum over its latents of the forget rate minus the retain rate, so that a group is taken for
what it does as a whole and not for one of its members.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps.sweep import ways
from pipeline.unlearning.edit import Edit


def choose(case: Case) -> Choice:
    """Sweep the cut, the number of groups and the multiplier."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every cut, number of groups and multiplier."""
    gain_s = case.firing.rates(case.target, "forget") - case.firing.retain_rates(case.target)
    for cut, groups in enumerate(case.cuts, start=1):
        order = np.argsort([-gain_s[group].sum() for group in groups], kind="stable")
        for n in case.settings.groups:
            chosen = [groups[g].tolist() for g in order[:n]]
            yield from ways(case, "level_cut", chosen, {"cut": cut, "n_groups": n})
