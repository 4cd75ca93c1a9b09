"""Selection by measured effect, the second step: groups of a choice that do more harm than good are let go.

Worth is a sum over latents, from firing or from a first-order effect; it cannot see what a group does beside the
others. So each group of the chosen clamp is left out in turn, and stays out where the dev objective is lower for it.
"""

import torch

from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.edit import Edit


def subtree_ablated(case: Case) -> Candidates:
    """The choice of ``subtree``, ablated group by group."""
    yield from ablated(case.once("subtree").edit)


def flat_ablated(case: Case) -> Candidates:
    """The flat twin: the choice of ``flat_worth``, ablated latent by latent."""
    yield from ablated(case.once("flat_worth").edit)


def ablated(edit: Edit) -> Candidates:
    """The edit, then without one group after the other; what lowers the dev objective stays out.

    Passes over the groups until one drops none; ``settings["dropped"]`` counts them.
    """
    best, dropped = (yield edit).objective, True
    while dropped:
        dropped, place = False, 0
        while place < len(edit.groups) and len(edit.groups) > 1:
            shorter = without(edit, place)
            objective = (yield shorter).objective
            if objective < best:
                edit, best, dropped = shorter, objective, True
            else:
                place += 1


def without(edit: Edit, place: int) -> Edit:
    """The edit without one of its groups; latents stand in the order of their groups."""
    sizes = torch.tensor([len(group) for group in edit.groups])
    kept = torch.arange(len(sizes)).repeat_interleave(sizes) != place
    return edit._replace(
        groups=edit.groups[:place] + edit.groups[place + 1 :],
        latents=edit.latents[kept],
        values=edit.values[kept],
        factors=edit.factors[kept],
        settings=edit.settings | {"dropped": edit.settings.get("dropped", 0) + 1},
    )
