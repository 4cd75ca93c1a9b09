"""Which groups a picture of a large tree shows: thousands of leaves on a page are a grey bar."""

from collections.abc import Sequence

import numpy as np

from pipeline.hierarchy.tree import FeatureTree

ALL_UP_TO = 1500  # leaves; a tree of more is shown by its largest groups
LEAVES = 300  # of those


def largest_groups(tree: FeatureTree, cut: float, wanted: Sequence[int] = ()) -> list[np.ndarray]:
    """The groups of a cut that a picture shows, in the dendrogram's order: all of a small tree, single latents too.

    Of a large one those that hold a ``wanted`` latent, then the largest, until they have ``LEAVES`` latents.
    """
    groups = tree.cut(cut)
    if tree.n_leaves <= ALL_UP_TO:
        return groups
    asked = set(map(int, wanted))
    ranked = sorted(range(len(groups)), key=lambda g: (asked.isdisjoint(groups[g].tolist()), -len(groups[g]), g))
    before = np.cumsum([0, *(len(groups[g]) for g in ranked)])
    shown = [g for g, leaves in zip(ranked, before, strict=False) if leaves < LEAVES]
    return [groups[g] for g in sorted(shown)]


def caption(tree: FeatureTree, groups: Sequence[np.ndarray], cut: float) -> str:
    """What the axis holds, in words."""
    leaves = sum(map(len, groups))
    if leaves == tree.n_leaves:
        return f"{leaves:,} latents in the order of the tree"
    return f"{len(groups)} groups at r ≥ {cut:.2f}, marked or largest: {leaves:,} of {tree.n_leaves:,} latents"
