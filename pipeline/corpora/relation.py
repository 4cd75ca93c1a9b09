"""How an item stands to what is to be forgotten, from their two places in the tree."""

from collections.abc import Sequence
from typing import Literal

Relation = Literal["forget", "sibling", "other", "general"]


def relation(path: Sequence[str], target: Sequence[str]) -> Relation:
    """``forget`` inside the target, ``sibling`` under another child of its parent, ``general`` outside the tree.

    >>> relation(["d0", "t1", "e2"], ["d0", "t1"])
    'forget'
    >>> relation(["d0", "t0", "e9"], ["d0", "t1"])
    'sibling'
    >>> relation(["d3"], ["d0"])
    'sibling'
    >>> relation(["d0"], ["d0", "t1"])
    'other'

    The last one, a text about the whole domain, is about the target's parent and so about both sides. For a target at
    the coarsest level, every other node there is a sibling, and nothing is ``other``.
    """
    path, target = tuple(path), tuple(target)
    if not path:
        return "general"
    depth = len(target)
    if path[:depth] == target:
        return "forget"
    if len(path) >= depth and path[: depth - 1] == target[:-1]:
        return "sibling"
    return "other"
