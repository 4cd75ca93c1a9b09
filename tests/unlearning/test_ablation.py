"""Ablation of a choice: harmful groups are let go, one after the other, and what is left is in the order it was."""

from types import SimpleNamespace

import torch

from pipeline.unlearning.case import Choice
from pipeline.unlearning.clamps.ablation import ablated, without
from pipeline.unlearning.damage import Damage
from pipeline.unlearning.edit import clamped

GROUPS = [[3, 1], [0], [4, 2]]


def chosen() -> Choice:
    edit = clamped("subtree", "topic", ("d", "t"), 1, GROUPS, torch.arange(5.0), 2.0, {"budget": 5})
    return Choice(edit, [{"objective": 1.0}])


def case_where(objective) -> SimpleNamespace:
    """A case whose dev objective is a function of the latents that an edit names; it counts what it judged."""
    judged: list[set[int]] = []

    def judge(edit):
        judged.append(set(edit.latents.tolist()))
        damage = Damage(*([0.0] * len(Damage._fields)))
        return SimpleNamespace(objective=objective(judged[-1]), _asdict=damage._asdict)

    return SimpleNamespace(judge=judge, judged=judged)


def test_what_is_left_keeps_its_order_and_its_values():
    shorter = without(chosen().edit, 1)
    assert shorter.groups == ((3, 1), (4, 2))
    assert shorter.latents.tolist() == [3, 1, 4, 2]
    assert shorter.values.tolist() == [-6.0, -2.0, -8.0, -4.0]
    assert (len(shorter.factors), shorter.settings["dropped"]) == (4, 1)


def test_a_group_without_which_the_objective_is_lower_is_dropped():
    case = case_where(
        lambda latents: 1.0 - 0.5 * (0 not in latents) + 0.4 * (3 not in latents) + 0.4 * (4 not in latents)
    )
    choice = ablated(case, chosen(), "subtree_ablated")
    assert choice.edit.groups == ((3, 1), (4, 2))
    assert (choice.edit.method, choice.edit.settings["dropped"]) == ("subtree_ablated", 1)
    assert len(choice.sweep) == 1 + len(case.judged)
    assert min(row["objective"] for row in choice.sweep) == 0.5


def test_a_group_that_is_needed_only_beside_another_goes_in_a_second_pass():
    """Without 0 the group 3, 1 is of no use; 3, 1 stands first and is kept by the first pass."""
    case = case_where(lambda latents: 1.0 - 0.2 * (0 not in latents) - 0.2 * (latents == {4, 2}))
    assert ablated(case, chosen(), "subtree_ablated").edit.groups == ((4, 2),)


def test_where_nothing_helps_the_choice_stays_and_one_group_always_does():
    stays = ablated(case_where(lambda latents: 1.0), chosen(), "flat_ablated").edit
    assert stays.groups == chosen().edit.groups and "dropped" not in stays.settings
    assert len(ablated(case_where(lambda latents: 0.1 * len(latents)), chosen(), "flat_ablated").edit.groups) == 1
