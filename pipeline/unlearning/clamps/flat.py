"""Flat clamps: single latents, ranked by a score that knows nothing of the tree; the first few are clamped.

Text to retain is, for each latent, the kind (sibling, other, general) that it is most active on: the nearest neighbour
counts, not the average one.

    frequency    firing rate on text to forget, of the latents that fire rarely on text to retain (Farrell, Lau, Conmy
                 2024; SAEBench's unlearning evaluation); swept in two forms, named in a candidate's settings:
                 published: text to retain is general text, every latent is set to the same constant, as in SAEBench;
                 near: siblings and other nodes are to be retained too, and a latent is set to a multiple of its own
                 mean code (the published form picks latents of the whole domain)
    log_odds     ln(p_f / (1 - p_f)) - ln(p_r / (1 - p_r)), p the share of texts in which a latent fires; it must fire
                 in a given share of the target's texts, for a rare one may have any odds
    importance   (mean code)^2 on text to forget, of the latents above percentiles of it and of its ratio to text to
                 retain (DSG, Muhamed et al. 2025, section 3; its code squares mean activations)
    difference   difference of firing rates; of the first n those stay whose mean code on text to forget is at least tau
                 times that on text to retain (CRISP, Ashuach et al. 2025, its selection step)
    worth        the score of ``subtree`` without its tree: same budgets and sweep, so what ``subtree`` does better it
                 owes to the tree
"""

from collections.abc import Iterator

import numpy as np
import torch

from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.clamps.ways import Ranking, ablated, clamps, distinct_choices, ranked
from pipeline.unlearning.clamps.worth import worths
from pipeline.unlearning.firing import RETAINED, Firing

TINY = 1e-21  # as in DSG's code: a latent that is silent on text to retain has a huge ratio, not an infinite one
FLOOR = 5.0  # percentile of importance on text to forget, among latents that fire there (DSG)


def frequency(case: Case) -> Candidates:
    """Sweep the form, the retain threshold, the number of latents and the clamp."""
    general_s = case.firing.rates(case.target, "general")
    ones_s = torch.ones(len(general_s))
    for choice in distinct_choices(_by_frequency(case, general_s, "published"), case.settings.latents):
        groups = [[int(latent)] for latent in choice.latents]
        for constant in case.settings.frequency_constants:
            yield case.clamp(groups, ones_s, constant, choice.settings)
    yield from clamps(case, _by_frequency(case, case.firing.retain_rates(case.target), "near"))


def _by_frequency(case: Case, retain_s: np.ndarray, form: str) -> Iterator[Ranking]:
    forget_s = case.firing.rates(case.target, "forget")
    for threshold in case.settings.retain_rates:
        settings = {"form": form, "retain_rate": threshold}
        yield ranked(forget_s, (retain_s < threshold) & (forget_s > 0), settings)


def log_odds(case: Case) -> Candidates:
    """Sweep the share of the target's texts, the number of latents and the clamp."""
    yield from clamps(case, _by_log_odds(case))


def _by_log_odds(case: Case) -> Iterator[Ranking]:
    forget_s = share_of_texts(case.firing, case.target, "forget")
    retain_s = np.max([share_of_texts(case.firing, case.target, name) for name in RETAINED], axis=0)
    odds_s = np.log(forget_s / (1 - forget_s)) - np.log(retain_s / (1 - retain_s))
    for share in case.settings.text_shares:
        yield ranked(odds_s, (odds_s > 0) & (forget_s >= share), {"text_share": share})


def share_of_texts(firing: Firing, target: tuple[str, ...], wanted: str) -> np.ndarray:
    """Share of the texts of one relation in which each latent fires, (count + 1/2) / (texts + 1); 0-1, float64 [s].

    Where there are no such texts it is 0 (not the 1/2 of the formula), which the maximum over relations passes over.
    """
    fires_xs = firing.fires_xs[firing.where(target, wanted)]
    if fires_xs.shape[0] == 0:
        return np.zeros(fires_xs.shape[1])
    return ((fires_xs > 0).sum(0) + 0.5) / (fires_xs.shape[0] + 1)


def importance(case: Case) -> Candidates:
    """Sweep the percentile of the ratio, the number of latents and the clamp."""
    yield from clamps(case, _by_importance(case))


def _by_importance(case: Case) -> Iterator[Ranking]:
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


def difference(case: Case) -> Candidates:
    """Sweep the ratio, the number of salient latents and the clamp."""
    yield from clamps(case, _by_difference(case))


def _by_difference(case: Case) -> Iterator[Ranking]:
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


def worth(case: Case) -> Candidates:
    """Sweep the measure of worth, the weight of what must stay, the number of latents and the clamp."""
    of_latents = worths(case, tree=None)
    yield from clamps(case, (ranked(worth_s, worth_s > case.settings.node_cost, how) for worth_s, how in of_latents))


def worth_ablated(case: Case) -> Candidates:
    """The choice of ``flat_worth``, ablated latent by latent: the flat twin of ``subtree_ablated``."""
    yield from ablated(case.once("flat_worth").edit)
