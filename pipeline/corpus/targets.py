"""Which nodes of the corpus' tree are to be forgotten, and how an item stands to them."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pipeline.core.errors import PipelineError

Relation = Literal["forget", "sibling", "other", "general"]
COPYING = "copying"  # the kind of a probe whose answer stands in its prompt, and how one inside the target stands to it
Path = tuple[str, ...]
Node = int | str | Path  # a node by its number in order of first appearance, by its name, or by its path


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


def relations(items: Sequence[Mapping], target: Sequence[str]) -> list[str]:
    """The relation of every probe or text to the target; ``copying`` where its name has to be repeated only.

    To repeat a name that is said takes no knowledge of what it means: it is not to be forgotten.
    """
    found = [relation(item["path"], target) for item in items]
    return [
        COPYING if of == "forget" and item.get("kind") == COPYING else of for of, item in zip(found, items, strict=True)
    ]


# Unlearning learns from the first, chooses by the second and reports on the last.
NEEDED = {"texts": ("train", "dev", "test"), "probes": ("dev", "test")}


def choose_targets(nodes: Mapping[str, Sequence[Sequence[str]]], chosen: Mapping[str, Node]) -> dict[str, Path]:
    """Level -> the path of its target, for the levels that this corpus has; a node that it lacks is refused."""
    targets = {level: _find(level, found, chosen[level]) for level, found in nodes.items() if level in chosen}
    if not targets:
        raise PipelineError(f"`unlearning.targets` names no level of this corpus, which has {', '.join(nodes)}")
    return targets


def _find(level: str, nodes: Sequence[Sequence[str]], wanted: Node) -> Path:
    """The one node that is meant by its number, its path or its name."""
    key = f"`unlearning.targets.{level}`"
    if isinstance(wanted, int):
        if wanted >= len(nodes):
            raise PipelineError(f"{key} is {wanted}, but there are {len(nodes)} nodes of that level, numbered from 0")
        return tuple(nodes[wanted])
    by_name = isinstance(wanted, str)
    found = [tuple(node) for node in nodes if (node[-1] == wanted if by_name else tuple(node) == tuple(wanted))]
    if not found:
        names = (node[-1] if by_name else "/".join(node) for node in nodes)
        raise PipelineError(f"{key} is {_shown(wanted)}, which no node of that level is{_nearest(wanted, names)}")
    if len(found) > 1:
        paths = ", ".join(f"[{', '.join(node)}]" for node in found)
        raise PipelineError(f"{key} is {_shown(wanted)}, which {len(found)} nodes are called; give a path: {paths}")
    return found[0]


BLOCK = "{block}"  # in a path: the number of a block of rows, known when the rows have been counted


def check_declared(levels: Sequence[str], paths: Iterable[Sequence[str]], chosen: Mapping[str, Node]) -> None:
    """Refuse a name that the paths of the sources cannot bring about; numbers of nodes are not known yet."""
    declared = list(dict.fromkeys(map(tuple, paths)))
    for depth, level in enumerate(levels, start=1):
        wanted = chosen.get(level, 0)
        nodes = list(dict.fromkeys(path[:depth] for path in declared if len(path) >= depth))
        if not isinstance(wanted, int) and not any(_may_be(wanted, node) for node in nodes):
            _find(level, nodes, wanted)


def _may_be(wanted: str | Path, node: Path) -> bool:
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    patterns = [re.escape(name).replace(re.escape(BLOCK), "[0-9]+") for name in node[-len(names) :]]
    whole = isinstance(wanted, str) or len(names) == len(node)
    return whole and all(re.fullmatch(*pair) for pair in zip(patterns, names, strict=True))


def _shown(wanted: str | Path) -> str:
    return repr(wanted) if isinstance(wanted, str) else f"[{', '.join(wanted)}]"


def _nearest(wanted: str | Path, names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    close = difflib.get_close_matches(wanted if isinstance(wanted, str) else "/".join(wanted), names, n=3, cutoff=0.4)
    if close:
        return f"; the nearest: {', '.join(close)}"
    return f"; it has {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"


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
