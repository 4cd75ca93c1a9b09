"""Ablation of a choice: harmful groups are let go, one after the other, and what is left is in the order it was."""

from types import SimpleNamespace

import torch

from pipeline.unlearning.case import Choice, sweep
from pipeline.unlearning.clamps.ways import ablated, without
from pipeline.unlearning.damage import Damage
from pipeline.unlearning.edit import Edit, clamped

GROUPS = [[3, 1], [0], [4, 2]]


def chosen() -> Edit:
    return clamped("subtree", "topic", ("d", "t"), 1, GROUPS, torch.arange(5.0), 2.0, {"budget": 5})


def swept(case: SimpleNamespace) -> Choice:
    return sweep(case, ablated(chosen()), "subtree_ablated")


def case_where(objective) -> SimpleNamespace:
    """A case whose dev objective is a function of the latents that an edit names; it counts what it judged."""
    judged: list[set[int]] = []

    def judge(edit, look):
        judged.append(set(edit.latents.tolist()))
        damage = Damage(*([0.0] * len(Damage._fields)))
        return SimpleNamespace(objective=objective(judged[-1]), _asdict=damage._asdict)

    return SimpleNamespace(judge=judge, judged=judged, target=("d", "t"), looks=())


def test_what_is_left_keeps_its_order_and_its_values():
    shorter = without(chosen(), 1)
    assert shorter.groups == ((3, 1), (4, 2))
    assert shorter.latents.tolist() == [3, 1, 4, 2]
    assert shorter.values.tolist() == [-6.0, -2.0, -8.0, -4.0]
    assert (len(shorter.factors), shorter.settings["dropped"]) == (4, 1)


def test_a_group_without_which_the_objective_is_lower_is_dropped():
    case = case_where(
        lambda latents: 1.0 - 0.5 * (0 not in latents) + 0.4 * (3 not in latents) + 0.4 * (4 not in latents)
    )
    choice = swept(case)
    assert choice.edit.groups == ((3, 1), (4, 2))
    assert (choice.edit.method, choice.edit.settings["dropped"]) == ("subtree_ablated", 1)
    assert len(choice.sweep) == len(case.judged)
    assert min(row["objective"] for row in choice.sweep) == 0.5


def test_a_group_that_is_needed_only_beside_another_goes_in_a_second_pass():
    """Without 0 the group 3, 1 is of no use; 3, 1 stands first and is kept by the first pass."""
    case = case_where(lambda latents: 1.0 - 0.2 * (0 not in latents) - 0.2 * (latents == {4, 2}))
    assert swept(case).edit.groups == ((4, 2),)


def test_where_nothing_helps_the_choice_stays_and_one_group_always_does():
    stays = swept(case_where(lambda latents: 1.0)).edit
    assert stays.groups == chosen().groups and "dropped" not in stays.settings
    assert len(swept(case_where(lambda latents: 0.1 * len(latents))).edit.groups) == 1
