"""The tree for people and other programs: groups per cut, one JSON row per node, Newick."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import write_json, write_text
from pipeline.hierarchy.tree import FeatureTree, parents_of, save_tree


def write_tree(
    folder: Path,
    tree: FeatureTree,
    cuts: list[float],
    about: dict[str, Any],
    plateaus: list[float] | None = None,
    node_stability: np.ndarray | None = None,
) -> None:
    """The tree's own arrays and the three exports. ``node_stability`` [m] is of every merge (see ``stability``)."""
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
    parent = parents_of(tree.linkage)
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
