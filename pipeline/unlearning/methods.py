"""The methods by their names in params.yaml and in final_info.json."""

from collections.abc import Callable

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.clamps import (
    flat_ablated,
    flat_difference,
    flat_frequency,
    flat_importance,
    flat_log_odds,
    flat_worth,
    level_cut,
    subtree,
    subtree_ablated,
)
from pipeline.unlearning.controls import random_groups, shuffled_tree
from pipeline.unlearning.gates import gates_flat, gates_tree
from pipeline.unlearning.guards import fixed_vector, guard_flat, guard_tree
from pipeline.unlearning.weights import grad_ascent, grad_diff, group_adapter, npo, npo_attacked, rmu, scope_npo

METHODS: dict[str, Callable[[Case], Choice]] = {
    "flat_frequency": flat_frequency.choose,
    "flat_log_odds": flat_log_odds.choose,
    "flat_importance": flat_importance.choose,
    "flat_difference": flat_difference.choose,
    "flat_worth": flat_worth.choose,
    "flat_ablated": flat_ablated.choose,
    "level_cut": level_cut.choose,
    "subtree": subtree.choose,
    "subtree_ablated": subtree_ablated.choose,
    "random_groups": random_groups.choose,
    "gates_flat": gates_flat.choose,
    "gates_tree": gates_tree.choose,
    "shuffled_tree": shuffled_tree.choose,
    "guard_flat": guard_flat.choose,
    "guard_tree": guard_tree.choose,
    "fixed_vector": fixed_vector.choose,
    "grad_ascent": grad_ascent.choose,
    "grad_diff": grad_diff.choose,
    "npo": npo.choose,
    "npo_attacked": npo_attacked.choose,
    "rmu": rmu.choose,
    "group_adapter": group_adapter.choose,
    "scope_npo": scope_npo.choose,
}
