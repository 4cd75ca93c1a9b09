"""How far a method's figures go apart where all is made anew: other worlds, models, dictionaries, other targets.

A run's intervals are over the facts of one fit. The report of a run on the embedded world shows these ranges beside
them, from data/baselines/refits_world.json.
"""

from typing import Any

import numpy as np

from studies.markdown import grouped
from studies.world.figures import Row

FIGURES = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop")
PERCENTILES = 5, 95  # nine of ten fits lie between


def refits(rows: list[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """Level -> method -> ``{"fits": n}`` and for each figure ``[low, high]``; drops in points, else shares."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for level, of_level in grouped(rows, "level").items():
        for method, cells in grouped(row for row in of_level if row["name"] != "none").items():
            ranges = {
                name: [round(float(x), 4) for x in np.percentile([cell["means"][name] for cell in cells], PERCENTILES)]
                for name in FIGURES
                if all(name in cell["means"] for cell in cells)
            }
            found.setdefault(level, {})[method] = {"fits": len(cells), **ranges}
    return found
