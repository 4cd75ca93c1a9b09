"""Cells of whole sweeps: the area under the forget-sibling curve of a method, beside that of its twins.

Nothing is chosen, so the dev split, which no method is fitted on, can measure: every candidate of the sweep is a point.
"""

import numpy as np

from pipeline.unlearning.case import Case
from pipeline.unlearning.damage import area, points

# Methods on the same tree with shuffled leaves (``subtree`` has its own, ``shuffled_tree``).
SHUFFLED = {"gates_tree_shuffled": "gates_tree"}


def curve_cell(case: Case, method: str) -> dict:
    """``{"means"}``: the areas of a method's whole sweep."""
    if method in SHUFFLED:
        shuffled = case.tree.shuffled(np.random.default_rng(case.seed))
        choice = case._replace(tree=shuffled, choices=None).once(SHUFFLED[method])
    else:
        choice = case.once(method)
    return {"means": areas(choice.sweep)}


def areas(rows: list[dict]) -> dict[str, float]:
    """The area for siblings alone, and for the worst of siblings, other and general (``area_worst``)."""
    return {"area": area(points(rows, ("sibling_drop",))), "area_worst": area(points(rows))}
