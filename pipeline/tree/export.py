"""The tree for people and other programs: groups per cut, one JSON row per node, Newick, and parent edges beside it.

A binary tree of latents cannot place a parent above its children: a latent and those that fire only with it are all
leaves. So parents are a graph of their own. Containment alone cannot tell a parent from a grandparent (both are 1) and
is won by latents that always fire; phi ranks (about the root of P(child | parent), highest for the closest), while
significance and Loevinger's H say whether there is an implication at all.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.files import write_json, write_text
from pipeline.tree.correlation import Correlation
from pipeline.tree.feature_tree import FeatureTree, save_tree
from pipeline.tree.kernels import LOEVINGER, PHI, similarities, standardisation


def write_tree(
    folder: Path,
    tree: FeatureTree,
    cuts: list[float],
    about: dict[str, Any],
    plateaus: list[float] | None = None,
    node_stability: np.ndarray | None = None,
) -> None:
    """The tree's arrays, ``groups.json``, ``tree.json`` and ``tree.nwk``; ``node_stability`` [m] is of every merge."""
    save_tree(folder, tree)
    groups = {"cuts": groups_at(tree, cuts), "plateaus": groups_at(tree, plateaus or [])}
    write_json(folder / "groups.json", {**about, **groups})
    write_json(folder / "tree.json", tree_json(tree, about, node_stability))
    write_text(folder / "tree.nwk", newick(tree))


def groups_at(tree: FeatureTree, correlations: list[float]) -> list[dict[str, Any]]:
    """``[{"level", "correlation", "groups", "attached"}]``; level 1 is the coarsest.

    ``groups`` are lists of latent ids in the order of the dendrogram, singles included; ``attached`` are, for each
    group, the latents that fire too rarely to be clustered and are nearest to a member.
    """
    cuts = []
    for level, correlation in enumerate(correlations, start=1):
        groups, attached = tree.cut_with_rare(correlation)
        cuts.append(
            {
                "level": level,
                "correlation": correlation,
                "groups": [group.tolist() for group in groups],
                "attached": [rare.tolist() for rare in attached],
            }
        )
    return cuts


def tree_json(tree: FeatureTree, about: dict[str, Any], node_stability: np.ndarray | None = None) -> dict[str, Any]:
    """``about`` plus one row per node, leaves first, in scipy's numbering; the root's parent is null. ``rare`` are the
    latents that fire too rarely to be clustered, each with the clustered one that it was attached to."""
    parent = tree.parents
    leaves = [
        {"id": leaf, "latent": int(latent), "parent": _parent(parent[leaf])} for leaf, latent in enumerate(tree.latents)
    ]
    merges = []
    for k, (left, right, height, size) in enumerate(tree.linkage):
        row = {
            "id": tree.n_leaves + k,
            "children": [int(left), int(right)],
            "size": int(size),
            "height": float(height),
            "correlation": 1 - float(height),
            "parent": _parent(parent[tree.n_leaves + k]),
        }
        if node_stability is not None:
            row["stability"] = None if np.isnan(node_stability[k]) else round(float(node_stability[k]), 4)
        merges.append(row)
    rare = [{"latent": int(latent), "nearest": int(near)} for latent, near in zip(tree.rare, tree.nearest, strict=True)]
    return {**about, "leaves": leaves, "merges": merges, "rare": rare}


def _parent(node: int) -> int | None:
    return None if node < 0 else int(node)


def newick(tree: FeatureTree) -> str:
    """Newick with latent ids as names and heights as branch lengths; written bottom up, so depth is no limit."""
    text = [str(int(latent)) for latent in tree.latents]
    height = [0.0] * tree.n_leaves
    for left, right, merge_height, _ in tree.linkage:
        children = [f"{text[int(child)]}:{max(0.0, merge_height - height[int(child)]):.6g}" for child in (left, right)]
        text.append(f"({','.join(children)})")
        height.append(float(merge_height))
    return text[-1] + ";\n"


MORE_FREQUENT = 1.1  # a parent fires at least this many times as often as its child
LEAST_H = 0.1  # implication: 1 = the child fires only with the parent, 0 = chance; misses of either dilute it


class Parents(NamedTuple):
    """One edge for every latent that has a parent, by child."""

    child: np.ndarray
    parent: np.ndarray
    phi: np.ndarray
    loevinger: np.ndarray

    def as_json(self) -> list[dict[str, float]]:
        """Rows ``{"child", "parent", "phi", "loevinger"}``."""
        columns = (column.tolist() for column in self)
        return [dict(zip(self._fields, row, strict=True)) for row in zip(*columns, strict=True)]


def parents_of_latents(correlation: Correlation) -> Parents:
    """For every latent the significant, more frequent latent of greatest phi, if H says that it is implied."""
    n_units, n, _, _ = correlation.sums
    chosen = correlation.significant
    i, j, n_ij, s_ij, _ = (column[chosen] for column in correlation.pairs)
    phi, h = (
        similarities(kind, n_units, n, standardisation(kind, *correlation.sums), i, j, n_ij, s_ij)
        for kind in (PHI, LOEVINGER)
    )
    child, parent = np.where(n[i] <= n[j], i, j), np.where(n[i] <= n[j], j, i)
    edge = (n[parent] > MORE_FREQUENT * n[child]) & (h >= LEAST_H)
    child, parent, phi, h = child[edge], parent[edge], phi[edge], h[edge]
    best = np.lexsort((parent, -phi, child))  # per child: greatest phi, then the smallest id
    _, first = np.unique(child[best], return_index=True)
    return Parents(*(column[best][first] for column in (child, parent, phi, h)))
