"""Flat log-odds: the latents whose firing says most that a text is about the target.

With p the share of texts of a kind in which a latent fires, half a text added on either side,

    log-odds = ln(p_forget / (1 - p_forget)) - ln(p_retain / (1 - p_retain)),

where p_retain is the highest of the shares on sibling, other and general text: the odds against the nearest
neighbour count, not against the average one. A latent that fires in few of the target's texts may have any odds, so it
must fire in at least a given share of them.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps.sweep import Ranking, clamps, ranked
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.firing import RETAINED, Firing


def choose(case: Case) -> Choice:
    """Sweep the share of the target's texts, the number of latents and the multiplier."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every share, number of latents and multiplier."""
    yield from clamps(case, "flat_log_odds", _rankings(case))


def _rankings(case: Case) -> Iterator[Ranking]:
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
