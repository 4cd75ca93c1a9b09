"""Cells of full-data forgetting: one method forgets one target, chosen on dev, measured on test."""

import time

from pipeline.evaluation.forgetting import Exam, forgetting_figures
from pipeline.params import Params
from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.subject import open_case
from pipeline.unlearning.weights import group_adapter
from studies.world.homes import Home

# The adapter's twins: the same training on the groups of a method without the tree's choice.
TWINS = {"group_adapter_flat": "flat_frequency", "group_adapter_random": "random_groups"}


def case_of(home: Home, level: str, node: int, params: Params, seed: int) -> Case:
    """The case of forgetting one node."""
    subject = home.subject._replace(targets={level: home.nodes[level][node]})
    case = open_case(subject, home.forest, home.firing, level, params.unlearning, seed)
    return case._replace(documents=home.documents, scope=params.scope)


def forgetting_cell(exam: Exam, case: Case, method: str) -> dict:
    """``{"means", "stderrs", "settings"}`` of one method on one target; settings are those that dev chose."""
    started = time.monotonic()
    choice = chosen(case, method)
    seconds = time.monotonic() - started
    figures = forgetting_figures(exam, choice.edit, seconds, case.seed)
    return {"means": figures["means"], "stderrs": figures["stderrs"], "settings": choice.edit.settings}


def chosen(case: Case, method: str) -> Choice:
    """The edit that a method chooses; ``none`` leaves the model as it is."""
    if method == "none":
        return Choice(no_edit(case.level, case.target, case.layer), [])
    if method in TWINS:
        return sweep(case, group_adapter.on_groups(case, case.once(TWINS[method]).edit), method)
    return case.choose(method)
