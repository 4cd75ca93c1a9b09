"""Selection by measured effect, the second step: groups of a choice that do more harm than good are let go.

Worth is a sum over latents, from firing or from a first-order effect; it cannot see what a group does beside the
others. So each group of the chosen clamp is left out in turn, and stays out where the dev objective is lower for it.
"""

import torch

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.edit import Edit


def ablated(case: Case, choice: Choice, method: str) -> Choice:
    """The choice without the groups whose absence lowers the dev objective, in passes until one drops none.

    ``settings["dropped"]`` counts them; every candidate is a row of the sweep.
    """
    rows, edit = list(choice.sweep), choice.edit._replace(method=method)
    best, dropped = min(row["objective"] for row in rows), True
    while dropped:
        dropped, place = False, 0
        while place < len(edit.groups) and len(edit.groups) > 1:
            shorter = without(edit, place)
            result = case.judge(shorter)
            measured = result._asdict() | {"objective": result.objective}
            rows.append(shorter.settings | {"latents": len(shorter.latents)} | measured)
            if result.objective < best:
                edit, best, dropped = shorter, result.objective, True
            else:
                place += 1
    return Choice(edit, rows)


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
