"""Do the latents of a group belong together: do they fire together on text that the tree never saw, and point one way?

Each measure is the mean over a group's pairs of latents, minus the same of random groups as large and as busy.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.evaluation.random_groups import by_rate
from pipeline.unlearning.statistics import Firing

N_DRAWS = 20  # random groups for each group


class Lift(NamedTuple):
    """Of every group of at least two latents that fire: its own mean over pairs, and that of its stand-ins."""

    group: np.ndarray  # number of the group, int64 [g]
    own: np.ndarray
    random: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """What the group has more than random ones, [g]."""
        return self.own - self.random


def firing_lift(groups: list[np.ndarray], firing: Firing, seed: int) -> Lift:
    """Correlation of firing in held-out texts: a latent's row is 1 in the texts where it fires."""
    present_xs = (firing.fires_xs.toarray() > 0).astype(np.float64)
    count_s = present_xs.sum(0)
    count_s[count_s == len(present_xs)] = 0  # one that fires in every text correlates with nothing
    standard_xs = (present_xs - present_xs.mean(0)) / np.maximum(present_xs.std(0), 1e-12) / np.sqrt(len(present_xs))
    return _lift(groups, count_s, seed, lambda members: mean_product(standard_xs[:, members].T))


def decoder_lift(groups: list[np.ndarray], decoder_sd: np.ndarray, rate_s: np.ndarray, seed: int) -> Lift:
    """Cosine of decoder rows [s, d]."""
    unit_sd = decoder_sd / np.maximum(np.linalg.norm(decoder_sd, axis=1, keepdims=True), 1e-12)
    return _lift(groups, rate_s, seed, lambda members: mean_product(unit_sd[members]))


def mean_product(unit_kd: np.ndarray) -> float:
    """Mean inner product over all pairs of k >= 2 rows of length 1: (|sum of rows|^2 - k) / (k (k - 1))."""
    k = len(unit_kd)
    return float((np.square(unit_kd.sum(0)).sum() - k) / (k * (k - 1)))


def _lift(groups: list[np.ndarray], rate_s: np.ndarray, seed: int, measure: Callable[[np.ndarray], float]) -> Lift:
    rng, order = np.random.default_rng(seed), by_rate(rate_s)
    rows = []
    for number, group in enumerate(groups):
        members = group[rate_s[group] > 0]
        if len(members) >= 2:
            random = [measure(order.random_group(members, rate_s, rng)) for _ in range(N_DRAWS)]
            rows.append((number, measure(members), float(np.mean(random))))
    number, own, random = np.array(rows).reshape(-1, 3).T
    return Lift(number.astype(np.int64), own, random)
