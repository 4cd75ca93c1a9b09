"""Pictures of the tree: its merges and cuts, where the clamped latents sit; the similarity of all pairs in its order.

Thousands of leaves on a page are a grey bar, so of a large tree only the groups that matter are drawn.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pipeline.report.evidence import Evidence
from pipeline.report.pictures import literal, look, new_picture
from pipeline.tree.correlation import Correlation
from pipeline.tree.correlation_file import binned_similarity
from pipeline.tree.feature_tree import ROUNDING, FeatureTree

ALL_UP_TO = 1500  # leaves; a tree of more is shown by its largest groups
LEAVES = 300  # of those
MOST_CELLS = 1000  # a side of the similarities; beyond that neighbours in the tree share a cell


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


def clustermap(tree: FeatureTree, correlation: Correlation, cuts: list[float]) -> Figure:
    """Mean similarity per cell, negative ones shown as 0; groups of the coarsest cut are outlined."""
    groups = largest_groups(tree, cuts[0])
    order = np.concatenate(groups)
    matrix = binned_similarity(correlation, order, MOST_CELLS)
    figure, (ax,) = new_picture(6, 5.4)
    shown = ax.imshow(matrix, cmap="cividis", vmin=0, vmax=1, extent=(0, len(order), len(order), 0))
    stop = 0
    for group in groups:
        start, stop = stop, stop + len(group)
        if len(group) > 1:
            ax.plot([start, stop, stop, start, start], [start, start, stop, stop, start], color="white", linewidth=0.7)
    figure.colorbar(shown, ax=ax, label=f"{correlation.similarity} by {correlation.scale}", shrink=0.8)
    ax.set_xlabel(f"{caption(tree, groups, cuts[0])}\noutlined: groups at r ≥ {cuts[0]:.2f}")
    ax.set_yticks([])
    return figure


def tree_picture(
    tree: FeatureTree, cuts: Sequence[float], n_groups: Sequence[int], marked: Mapping[str, Sequence[int]]
) -> Figure:
    """Merges at their correlation (1 - height), cuts as dashed lines; ``marked`` latents are ticked, a row a name.

    Of a large tree the groups of the coarsest cut that hold a marked latent, and the largest.
    """
    figure, (ax,) = new_picture(8, 4.6)
    groups = largest_groups(tree, cuts[0], [latent for latents in marked.values() for latent in latents])
    order = np.concatenate(groups)
    place_s, segments = layout(tree, order, -np.inf if len(order) == tree.n_leaves else cuts[0])
    ax.add_collection(LineCollection(segments, colors="0.25", linewidths=0.5))
    low = min(float(segments[:, :, 1].min(initial=1)), 0.0)
    for correlation, n, dashes in zip(cuts, n_groups, ((6, 2), (4, 2), (2, 2), *[(1, 1)] * len(cuts)), strict=False):
        ax.axhline(correlation, color=look(1).colour, linewidth=1, dashes=dashes)
        text = f"r ≥ {correlation:.2f}: {n} groups"
        ax.annotate(text, (1.005, correlation), xycoords=("axes fraction", "data"), fontsize=8.5, va="center")
    for row, (name, latents) in enumerate(marked.items()):
        style, height = look(row), 1.05 + 0.05 * row
        where = [place_s[latent] for latent in latents if latent in place_s]
        ax.plot(where, np.full(len(where), height), style.marker, color=style.colour, markersize=4, clip_on=False)
        ax.annotate(literal(name), (1.005, height), xycoords=("axes fraction", "data"), fontsize=8.5, va="center")
    ax.set_xlim(-1, len(order))
    ax.set_ylim(1.03 + 0.05 * len(marked), low - 0.02)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_ylabel("correlation at which groups merge")
    ax.set_xlabel(caption(tree, groups, cuts[0]))
    return figure


def layout(tree: FeatureTree, order: np.ndarray, lowest: float) -> tuple[dict[int, float], np.ndarray]:
    """Place of every latent in ``order``, and the U-shaped lines [k, 4, 2] of its merges at ``lowest`` or more.

    ``order`` holds whole groups of the cut at ``lowest``.
    """
    n, children, size, y = tree.n_leaves, tree.children, tree.sizes, 1 - tree.heights
    place_s = {int(latent): float(k) for k, latent in enumerate(order)}
    x = np.concatenate([[place_s.get(int(latent), np.nan) for latent in tree.latents], np.zeros(len(children))])
    for k, (left, right) in enumerate(children):
        x[n + k] = (x[left] * size[left] + x[right] * size[right]) / size[n + k]
    shown = np.flatnonzero(~np.isnan(x[n:]) & (y[n:] >= lowest - ROUNDING))
    top, merge = children[shown], y[n + shown, None]
    ys = np.concatenate([y[top][:, :1], merge, merge, y[top][:, 1:]], axis=1)
    return place_s, np.stack([x[top][:, [0, 0, 1, 1]], ys], axis=2)


def marked_tree(tree: FeatureTree, evidence: Evidence) -> Figure:
    """The default tree with its cuts and the latents that ``subtree`` clamps for every target."""
    cuts = evidence.groups["cuts"]
    sizes = [sum(len(group) > 1 for group in cut["groups"]) for cut in cuts]
    return tree_picture(tree, evidence.cuts(), sizes, evidence.clamped_latents())
