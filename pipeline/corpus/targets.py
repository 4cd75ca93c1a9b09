"""How an item stands to what is to be forgotten, from their two places in the tree.

Which nodes of the corpus' tree are to be forgotten.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pipeline.core.errors import PipelineError

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


# Unlearning learns from the first, chooses by the second and reports on the last.
NEEDED = {"texts": ("train", "dev", "test"), "probes": ("dev", "test")}


def choose_targets(
    nodes: Mapping[str, Sequence[Sequence[str]]], chosen: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """Level -> the path of its target, for the levels that this corpus has; a number beyond the nodes is refused."""
    targets = {}
    for level, found in nodes.items():
        if level not in chosen:
            continue
        if chosen[level] >= len(found):
            raise PipelineError(
                f"`unlearning.targets.{level}` is {chosen[level]}, but there are {len(found)} nodes of that level"
            )
        targets[level] = tuple(found[chosen[level]])
    if not targets:
        raise PipelineError(f"`unlearning.targets` names no level of this corpus, which has {', '.join(nodes)}")
    return targets


def check_targets(targets: Mapping[str, Sequence[str]], texts: Sequence[Mapping], probes: Sequence[Mapping]) -> None:
    """Refuse a target that lacks texts or probes, inside or outside, in a split that unlearning needs."""
    for level, target in targets.items():
        for kind, items in (("texts", texts), ("probes", probes)):
            inside = {item["split"] for item in items if tuple(item["path"][: len(target)]) == tuple(target)}
            outside = {item["split"] for item in items if tuple(item["path"][: len(target)]) != tuple(target)}
            for side, found in (("inside", inside), ("outside", outside)):
                lacking = [split for split in NEEDED[kind] if split not in found]
                if lacking:
                    raise PipelineError(
                        f"the corpus has too few {kind} {side} the {level} to forget, {'/'.join(target)}: none for "
                        f"{' and '.join(lacking)}; 5 rows are enough for every split"
                    )
