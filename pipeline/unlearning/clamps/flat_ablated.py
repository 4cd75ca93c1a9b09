"""``flat_worth``, less the latents that dev does better without: the flat twin of ``subtree_ablated``."""

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.clamps import flat_worth
from pipeline.unlearning.clamps.ablation import ablated


def choose(case: Case) -> Choice:
    """The sweep of ``flat_worth``, then its choice ablated latent by latent."""
    return ablated(case, case.once(flat_worth.choose), "flat_ablated")
