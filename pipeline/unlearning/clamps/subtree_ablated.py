"""``subtree``, less the groups that dev does better without."""

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.clamps import subtree
from pipeline.unlearning.clamps.ablation import ablated


def choose(case: Case) -> Choice:
    """The sweep of ``subtree``, then its choice ablated group by group."""
    return ablated(case, case.once(subtree.choose), "subtree_ablated")
