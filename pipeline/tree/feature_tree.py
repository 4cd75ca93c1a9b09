"""The dendrogram of latents as one small value: cut it, list its nodes, shuffle its leaves, store it.

Heights are distances ``1 - similarity`` whatever the linkage (Ward's are brought to the same scale), so a cut is
named by a correlation everywhere: the groups at correlation c are the merges of height at most 1 - c.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pipeline.core.errors import PipelineError
from pipeline.core.files import check_sums

# Merges that tie in exact arithmetic differ in the last bits; a cut must not fall between them.
ROUNDING = 1e-9


class Node(NamedTuple):
    """One merge. ``id`` counts as in scipy: leaf k is k, merge k is n_leaves + k; the root's parent is -1."""

    id: int
    parent: int
    height: float
    members: np.ndarray  # latent ids, in the order of the dendrogram's leaves


@dataclass(frozen=True)
class FeatureTree:
    """Average-linkage (or other) merges over the latents that fire often enough to be clustered.

    ``linkage`` is scipy's format, float64 [m, 4]; ``latents`` [m + 1] maps leaf number to latent id. ``rare``
    are latents with too few firings to be clustered and ``nearest`` the clustered latent that each correlates
    with most; ``cut_with_rare`` attaches them to its group, ``cut`` leaves them out.
    """

    linkage: np.ndarray
    latents: np.ndarray
    rare: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    nearest: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if self.linkage.shape != (len(self.latents) - 1, 4):
            raise ValueError(f"{len(self.latents)} leaves cannot have a linkage of shape {self.linkage.shape}")

    @property
    def n_leaves(self) -> int:
        return len(self.latents)

    @property
    def children(self) -> np.ndarray:
        """The two children of every merge, int64 [m, 2]."""
        return self.linkage[:, :2].astype(np.int64)

    @cached_property
    def parents(self) -> np.ndarray:
        """The parent of every leaf and merge, int64 [2 m + 1]; -1 for the root."""
        return parents_of(self.linkage)

    @property
    def heights(self) -> np.ndarray:
        """Of every leaf (0) and merge, float64 [2 m + 1]."""
        return np.concatenate([np.zeros(self.n_leaves), self.linkage[:, 2]])

    @property
    def sizes(self) -> np.ndarray:
        """Leaves below every leaf (itself) and merge, int64 [2 m + 1]."""
        return np.concatenate([np.ones(self.n_leaves, np.int64), self.linkage[:, 3].astype(np.int64)])

    def sums(self, values_l: np.ndarray) -> np.ndarray:
        """The sum over its leaves for every leaf and merge, [2 m + 1, ...], from values by leaf number."""
        sums = np.concatenate([values_l, np.zeros((len(self.linkage), *values_l.shape[1:]), values_l.dtype)])
        for merge, (left, right) in enumerate(self.children, start=self.n_leaves):
            sums[merge] = sums[left] + sums[right]
        return sums

    def membership(self, n_latents: int) -> sparse.csr_array:
        """Which latents (s) lie below which merge (m), float32 [s, m] of zeros and ones."""
        members = [node.members for node in self.nodes()]
        merge = np.repeat(np.arange(len(members)), list(map(len, members)))
        ones = np.ones(len(merge), np.float32)
        return sparse.csr_array((ones, (np.concatenate(members), merge)), (n_latents, len(members)))

    @cached_property
    def _spans(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _spans(self.linkage)

    def groups_of_cut(self, correlation: float) -> np.ndarray:
        """The nodes that are the groups of a cut, lone leaves among them, along the dendrogram."""
        top = _top_nodes(self.linkage, 1 - correlation + ROUNDING)
        return top[np.argsort(self._spans[1][top])]

    def labels(self, correlation: float) -> np.ndarray:
        """Group number of every leaf at a cut, int64 [n_leaves]; groups are numbered along the dendrogram."""
        order, start, stop = self._spans
        top = self.groups_of_cut(correlation)
        labels = np.empty(self.n_leaves, np.int64)
        labels[order] = np.repeat(np.arange(len(top)), stop[top] - start[top])
        return labels

    def cut(self, correlation: float) -> list[np.ndarray]:
        """Groups of latent ids at a correlation, singles included, in the dendrogram's order."""
        order, start, stop = self._spans
        return [self.latents[order[start[g] : stop[g]]] for g in self.groups_of_cut(correlation)]

    def cut_with_rare(self, correlation: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The groups of ``cut``, and a second list of the same length: the rare latents attached to each."""
        groups = self.cut(correlation)
        group_of = {int(latent): g for g, group in enumerate(groups) for latent in group}
        home = np.array([group_of[int(latent)] for latent in self.nearest], np.int64)
        return groups, [self.rare[home == g] for g in range(len(groups))]

    def nodes(self) -> list[Node]:
        """Every merge, lowest first. The members are views of one array, so this is linear in memory."""
        order, start, stop = self._spans
        leaves, parent = self.latents[order], self.parents
        first = self.n_leaves
        return [
            Node(k, int(parent[k]), float(self.linkage[k - first, 2]), leaves[start[k] : stop[k]])
            for k in range(first, first + len(self.linkage))
        ]

    def shuffled(self, rng: np.random.Generator) -> "FeatureTree":
        """The same shape and heights with the leaves' latents permuted: the null that every gain must beat.

        Rare latents keep following their own ``nearest``, so they move with it.
        """
        return replace(self, latents=rng.permutation(self.latents))


def parents_of(linkage: np.ndarray) -> np.ndarray:
    """The parent of every leaf and merge, int64 [2 m + 1]; -1 for the root."""
    n_leaves = len(linkage) + 1
    parent = np.full(2 * n_leaves - 1, -1, np.int64)
    parent[linkage[:, :2].astype(np.int64)] = np.arange(n_leaves, 2 * n_leaves - 1)[:, None]
    return parent


def _spans(linkage: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaf numbers in dendrogram order, and for every node the half-open span of that order it covers.

    From the root down: the first child takes the left end of its parent's span, the second the rest.
    """
    n_leaves = len(linkage) + 1
    children = linkage[:, :2].astype(np.int64)
    size = np.concatenate([np.ones(n_leaves, np.int64), linkage[:, 3].astype(np.int64)])
    start = np.zeros(2 * n_leaves - 1, np.int64)
    for k in range(len(linkage) - 1, -1, -1):
        left, right = children[k]
        start[left] = start[n_leaves + k]
        start[right] = start[left] + size[left]
    order = np.empty(n_leaves, np.int64)
    order[start[:n_leaves]] = np.arange(n_leaves)
    return order, start, start + size


def _top_nodes(linkage: np.ndarray, height: float) -> np.ndarray:
    """Nodes that are merged at most at ``height`` and whose parent is not: the groups of that cut."""
    n_leaves = len(linkage) + 1
    parent = parents_of(linkage)
    inside = np.concatenate([np.ones(n_leaves, bool), linkage[:, 2] <= height])
    return np.flatnonzero(inside & ((parent < 0) | ~inside[parent]))


def save_tree(folder: Path, tree: FeatureTree) -> None:
    """Write ``linkage.npy``, ``latents.npy`` and ``rare.npy`` [r, 2] (rare latent, its nearest clustered one)."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "linkage.npy", tree.linkage.astype(np.float64))
    np.save(folder / "latents.npy", tree.latents.astype(np.int64))
    np.save(folder / "rare.npy", np.stack([tree.rare, tree.nearest], axis=1).astype(np.int64))


def load_tree(folder: Path) -> FeatureTree:
    """The tree that ``save_tree`` wrote."""
    check_sums(folder, "linkage.npy", "latents.npy", "rare.npy")
    try:
        rare, nearest = np.load(folder / "rare.npy").T.copy()
        return FeatureTree(np.load(folder / "linkage.npy"), np.load(folder / "latents.npy"), rare, nearest)
    except FileNotFoundError as error:
        raise PipelineError(f"{error.filename} is missing; run `uv run dvc repro build_dendrogram`") from None
