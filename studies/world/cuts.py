"""Cells of the choice of cut: ``level_cut`` on every cut of the tree beside what it chooses of them all.

The cut is chosen on dev, as everything; each cut's own best edit is measured on test too, so that what the automatic
choice loses against the best cut can be read off.
"""

from pipeline.evaluation.forgetting import Exam, forgetting_figures
from pipeline.unlearning.case import Case, sweep
from pipeline.unlearning.clamps.subtree import level_cut
from pipeline.unlearning.damage import area, points


def cut_cell(exam: Exam, case: Case) -> dict:
    """``{"means", "cut", "cuts"}``: test figures of the choice, which cut it is, and figures of every cut's own best.

    ``dev_area`` of a cut is the area under its whole sweep on dev, for the worst of siblings, others and general.
    """
    candidates = list(level_cut(case))
    numbers = sorted({edit.settings["cut"] for edit in candidates})
    cuts, objectives = {}, {}
    for number in numbers:
        choice = sweep(case, (edit for edit in candidates if edit.settings["cut"] == number))
        figures = forgetting_figures(exam, choice.edit, 0.0, case.seed)
        cuts[str(number)] = figures["means"] | {"dev_area": area(points(choice.sweep))}
        objectives[number] = min(row["objective"] for row in choice.sweep)
    best = min(numbers, key=objectives.__getitem__)  # the first wins a tie, as in a sweep of all
    return {"means": cuts[str(best)], "cut": best, "cuts": cuts}
