"""Do the latents of a group belong together: do they fire together on text that the tree never saw, and point one way?

Each measure is the mean over a group's pairs of latents, minus the same of random groups as large and as busy. The
table of groups has it beside their latents and the words that name them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.codes.store import CodesStore
from pipeline.codes.words import WORDS, count_words, of_groups, sample, top_words, words_of
from pipeline.language_model.token_text import TokenText
from pipeline.unlearning.firing import Firing

NEAR = 20  # neighbours in the order by rate from which a stand-in is drawn


class ByRate(NamedTuple):
    """The latents that fire at all, the rarest first."""

    latents: np.ndarray  # int64
    rate: np.ndarray  # ascending

    def random_group(self, group: np.ndarray, rate_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As many different latents as ``group`` has, each near one of its members in the order by rate."""
        drawn: set[int] = set()
        for place in np.searchsorted(self.rate, rate_s[group]).tolist():
            start = max(0, min(place - NEAR // 2, len(self.latents) - NEAR))
            near = [latent for latent in self.latents[start : start + NEAR].tolist() if latent not in drawn]
            near = near or [latent for latent in self.latents.tolist() if latent not in drawn]
            drawn.add(near[rng.integers(len(near))])
        return np.array(sorted(drawn), np.int64)


def by_rate(rate_s: np.ndarray) -> ByRate:
    """``rate_s``: how often each latent fires, in any unit, [s]."""
    order = np.argsort(rate_s, kind="stable")
    order = order[rate_s[order] > 0]
    return ByRate(order, rate_s[order])


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


def group_table(
    cuts: list[list[np.ndarray]],
    correlations: list[float],
    lifts: list[dict[str, Lift]],
    store: CodesStore,
    model: Path,
) -> list[dict[str, Any]]:
    """Per cut ``{"level", "correlation", "groups": [{"group", "latents", "words", "coherence_lift", ...}]}``.

    ``group`` is the number in ``groups.json``; groups of one latent are left out. A label is the words on whose tokens
    the group is active more than the rest is (highest log-odds); a lift is null where the group has none.
    """
    codes = sample(store)
    words = words_of(codes, TokenText.open(model))
    counts_sw = count_words(codes, words)
    table = []
    for level, (groups, correlation, of_cut) in enumerate(zip(cuts, correlations, lifts, strict=True), start=1):
        numbers = [number for number, group in enumerate(groups) if len(group) > 1]
        counts_gw = of_groups(counts_sw, [groups[number] for number in numbers])
        labels = top_words(counts_gw, counts_sw.sum(0), words.text, WORDS)
        gains = {name: dict(zip(lift.group.tolist(), lift.gain.tolist(), strict=True)) for name, lift in of_cut.items()}
        rows = [
            {"group": number, "latents": groups[number].tolist(), "words": label}
            | {name: gain.get(number) for name, gain in gains.items()}
            for number, label in zip(numbers, labels, strict=True)
        ]
        table.append({"level": level, "correlation": correlation, "groups": rows})
    return table
