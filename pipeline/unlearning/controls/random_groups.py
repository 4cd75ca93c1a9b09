"""Control: groups of the same sizes as ``subtree`` would take, filled with random latents of similar firing rate.

What it forgets, and what it breaks, any edit of that size would.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps import subtree
from pipeline.unlearning.clamps.sweep import ways
from pipeline.unlearning.edit import Edit


def choose(case: Case) -> Choice:
    """Sweep the multiplier over one random draw that matches the groups of ``subtree``'s choice."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of the drawn groups at every multiplier."""
    rng = np.random.default_rng(case.seed)
    groups = case.once(subtree.choose).edit.groups
    overall_s = case.firing.fires_xs.sum(0)
    available = np.setdiff1d(np.flatnonzero(overall_s), [latent for group in groups for latent in group])
    by_rate = available[np.argsort(overall_s[available], kind="stable")]
    yield from ways(case, "random_groups", look_alikes(groups, by_rate, overall_s, rng), {})


def look_alikes(
    groups: Sequence[Sequence[int]],
    by_rate: np.ndarray,
    overall_s: np.ndarray,
    rng: np.random.Generator,
    near: int = 20,
) -> list[list[int]]:
    """For every latent of the groups a random one of the ``near`` in ``by_rate`` whose rate is closest, none twice.

    Where fewer are left than the groups hold, the last groups stay smaller.
    """
    drawn: list[list[int]] = []
    for group in groups:
        drawn.append([])
        for latent in group[: len(by_rate)]:
            at = int(np.searchsorted(overall_s[by_rate], overall_s[latent]))
            start = max(0, min(at - near // 2, len(by_rate) - near))
            taken = start + int(rng.integers(len(by_rate[start : start + near])))
            drawn[-1].append(int(by_rate[taken]))
            by_rate = np.delete(by_rate, taken)
    return drawn
