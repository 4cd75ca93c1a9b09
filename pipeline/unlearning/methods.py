"""The methods by their names in params.yaml and in final_info.json."""

from collections.abc import Callable

from pipeline.unlearning import flat_frequency, grad_diff, guard_flat, level_cut, random_groups, subtree
from pipeline.unlearning.case import Case, Choice

METHODS: dict[str, Callable[[Case], Choice]] = {
    "flat_frequency": flat_frequency.choose,
    "level_cut": level_cut.choose,
    "subtree": subtree.choose,
    "random_groups": random_groups.choose,
    "guard_flat": guard_flat.choose,
    "grad_diff": grad_diff.choose,
}
