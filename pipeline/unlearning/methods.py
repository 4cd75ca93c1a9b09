"""The methods by their names in params.yaml and in final_info.json."""

from collections.abc import Callable

from pipeline.unlearning import (
    flat_frequency,
    grad_ascent,
    grad_diff,
    group_adapter,
    guard_flat,
    level_cut,
    npo,
    random_groups,
    rmu,
    subtree,
)
from pipeline.unlearning.case import Case, Choice

METHODS: dict[str, Callable[[Case], Choice]] = {
    "flat_frequency": flat_frequency.choose,
    "level_cut": level_cut.choose,
    "subtree": subtree.choose,
    "random_groups": random_groups.choose,
    "guard_flat": guard_flat.choose,
    "grad_ascent": grad_ascent.choose,
    "grad_diff": grad_diff.choose,
    "npo": npo.choose,
    "rmu": rmu.choose,
    "group_adapter": group_adapter.choose,
}
