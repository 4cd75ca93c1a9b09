"""Which nodes of the tree the page carries: all of a small one, of a large one the coarse cuts and what matters."""

from collections.abc import Sequence

import numpy as np

from pipeline.hierarchy.tree import FeatureTree, parents_of


def shown_nodes(
    tree: FeatureTree, correlations: Sequence[float], importance_s: np.ndarray, chosen: Sequence[int], most: int
) -> np.ndarray:
    """Node numbers (scipy's), ascending, each with all its ancestors; about ``most`` of them.

    First come the chosen latents, then the groups of the cuts from coarse to fine, then everything by the importance
    of its members per node.
    """
    n = tree.n_leaves
    if 2 * n - 1 <= most:
        return np.arange(2 * n - 1)
    parent = parents_of(tree.linkage)
    kept = np.zeros(2 * n - 1, bool)
    leaf_of = {int(latent): leaf for leaf, latent in enumerate(tree.latents)}
    importance = node_sums(tree, importance_s[tree.latents])
    wanted = [leaf_of[latent] for latent in chosen if latent in leaf_of]
    for correlation in correlations:
        wanted += list(_tops(tree, parent, correlation))
    wanted += np.argsort(-importance, kind="stable").tolist()
    room = most
    for node in wanted:
        path = []
        while node >= 0 and not kept[node]:
            path.append(node)
            node = parent[node]
        if len(path) > room:
            break
        kept[path] = True
        room -= len(path)
    return np.flatnonzero(kept)


def node_sums(tree: FeatureTree, of_leaf: np.ndarray) -> np.ndarray:
    """Sums over the leaves of every node, leaves first; ``of_leaf`` is [leaf] or [leaf, anything]."""
    n = tree.n_leaves
    total = np.concatenate([of_leaf, np.zeros((n - 1, *of_leaf.shape[1:]))])
    for k, (left, right) in enumerate(tree.linkage[:, :2].astype(np.int64)):
        total[n + k] = total[left] + total[right]
    return total


def coherences(tree: FeatureTree) -> np.ndarray:
    """Mean correlation of all pairs of latents in every node; 1 for a leaf.

    Exact for average linkage, whose heights are the mean distances between the two parts:
    c = sum over merges below of n_left n_right (1 - height) / (n (n - 1) / 2).
    """
    n = tree.n_leaves
    size = np.concatenate([np.ones(n), tree.linkage[:, 3]])
    pairs = np.zeros(2 * n - 1)
    for k, (left, right) in enumerate(tree.linkage[:, :2].astype(np.int64)):
        between = size[left] * size[right] * (1 - tree.linkage[k, 2])
        pairs[n + k] = pairs[left] + pairs[right] + between
    return np.where(size > 1, pairs / np.maximum(size * (size - 1) / 2, 1), 1.0)


def _tops(tree: FeatureTree, parent: np.ndarray, correlation: float) -> np.ndarray:
    """The groups of a cut that hold at least two latents, as node numbers, the largest first."""
    n = tree.n_leaves
    inside = np.concatenate([np.ones(n, bool), tree.linkage[:, 2] <= 1 - correlation + 1e-9])
    merges = np.arange(n, 2 * n - 1)
    top = merges[inside[n:] & ((parent[n:] < 0) | ~inside[parent[n:]])]
    return top[np.argsort(-tree.linkage[top - n, 3], kind="stable")]
