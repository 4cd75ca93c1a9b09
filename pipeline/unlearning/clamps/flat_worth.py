"""The latents of the highest worth, one by one: the score of ``subtree`` without its tree.

Score, budgets and sweep are the same, so what ``subtree`` does better it owes to the tree.
"""

from collections.abc import Iterator

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps.sweep import Ranking, clamps, ranked
from pipeline.unlearning.clamps.worth import worths
from pipeline.unlearning.edit import Edit


def choose(case: Case) -> Choice:
    """Sweep the weight of what must stay, the number of latents and the multiplier."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every ranking, number of latents and multiplier."""
    yield from clamps(case, "flat_worth", _rankings(case))


def _rankings(case: Case) -> Iterator[Ranking]:
    for worth_s, settings in worths(case, tree=None):
        yield ranked(worth_s, worth_s > case.settings.node_cost, settings)
