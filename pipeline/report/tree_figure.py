"""The dendrogram as a picture: its merges, the cuts, and where the chosen latents sit."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pipeline.hierarchy.tree import ROUNDING, FeatureTree
from pipeline.report.evidence import Evidence
from pipeline.report.groups import clamped_latents
from pipeline.report.largest_groups import caption, largest_groups
from pipeline.report.style import literal, look, new_figure


def tree_figure(
    tree: FeatureTree, cuts: Sequence[float], n_groups: Sequence[int], marked: Mapping[str, Sequence[int]]
) -> Figure:
    """Merges at their correlation (1 - height), cuts as dashed lines; ``marked`` latents are ticked, a row a name.

    Of a large tree the groups of the coarsest cut that hold a marked latent, and the largest.
    """
    figure, (ax,) = new_figure(8, 4.6)
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
    n, children = tree.n_leaves, tree.linkage[:, :2].astype(np.int64)
    place_s = {int(latent): float(k) for k, latent in enumerate(order)}
    x = np.concatenate([[place_s.get(int(latent), np.nan) for latent in tree.latents], np.zeros(len(children))])
    y = np.concatenate([np.ones(n), 1 - tree.linkage[:, 2]])
    size = np.concatenate([np.ones(n), tree.linkage[:, 3]])
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
    return tree_figure(tree, evidence.cuts(), sizes, clamped_latents(evidence))
