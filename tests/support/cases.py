"""A case of forgetting with only the parts that a test needs."""

from typing import Any

from pipeline.unlearning.case import Case


def case_with(**parts: Any) -> Case:
    """A topic at layer 1, float32; what is not given is None."""
    nothing = dict.fromkeys(Case._fields)
    return Case(
        **nothing | {"level": "topic", "target": ("d", "t"), "layer": 1, "seed": 0, "arithmetic": "float32"} | parts
    )
