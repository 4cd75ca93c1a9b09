"""Which nodes of the tree the page carries: all of a small one, of a large one the coarse cuts and what matters."""

from collections.abc import Sequence

import numpy as np

from pipeline.hierarchy.tree import FeatureTree, parents_of


def shown_nodes(
    tree: FeatureTree, correlations: Sequence[float], importance_s: np.ndarray, chosen: Sequence[int], most: int
) -> np.ndarray:
    """Node numbers (scipy's), ascending, at most ``most`` of them.

    First come the root and the chosen latents, then the groups of the cuts from coarse to fine in up to half of the
    room, then everything by its weight: a latent's is its importance, a merge's that of the lesser of its two parts, so
    that a spine which takes up one latent after the other does not fill the page.
    """
    n = tree.n_leaves
    if 2 * n - 1 <= most:
        return np.arange(2 * n - 1)
    parent = parents_of(tree.linkage)
    leaf_of = {int(latent): leaf for leaf, latent in enumerate(tree.latents)}
    first = [2 * n - 2, *(leaf_of[latent] for latent in chosen if latent in leaf_of)]
    groups = [node for correlation in correlations for node in _tops(tree, parent, correlation)]
    importance = node_sums(tree, importance_s[tree.latents])
    lesser = importance[tree.linkage[:, :2].astype(np.int64)].min(1)
    by_weight = np.argsort(-np.concatenate([importance[:n], lesser]), kind="stable")
    wanted = dict.fromkeys(map(int, [*first, *groups[: most // 2], *by_weight]))
    return np.sort(np.fromiter(wanted, np.int64)[:most])


def shown_parents(tree: FeatureTree, nodes: np.ndarray) -> np.ndarray:
    """Place in ``nodes`` (ascending, the root last) of each one's nearest ancestor there; -1 for the root."""
    place = np.full(2 * tree.n_leaves - 1, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    parent = parents_of(tree.linkage)
    nearest = np.full(len(place), -1, np.int64)
    for node in range(len(place) - 2, -1, -1):  # a parent's number is higher than its children's
        above = parent[node]
        nearest[node] = place[above] if place[above] >= 0 else nearest[above]
    return nearest[nodes]


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
