"""The dendrogram as a picture: its upper merges, the cuts, and where the chosen latents sit."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pipeline.hierarchy.tree import FeatureTree
from pipeline.report.evidence import Evidence
from pipeline.report.groups import clamped_latents
from pipeline.report.style import literal, look, new_figure

MOST_MERGES = 1500  # drawn; what lies below them is a stub
STUB = 0.015  # its length, in correlation


def tree_figure(
    tree: FeatureTree, cuts: Sequence[float], n_groups: Sequence[int], marked: Mapping[str, Sequence[int]]
) -> Figure:
    """Merges at their correlation (1 - height), cuts as dashed lines; ``marked`` latents are ticked, a row a name."""
    figure, (ax,) = new_figure(8, 4.6)
    place_s, segments = layout(tree, MOST_MERGES)
    ax.add_collection(LineCollection(segments, colors="0.25", linewidths=0.5))
    low = min(1 - float(tree.linkage[:, 2].max()), 0.0)
    for correlation, n, dashes in zip(cuts, n_groups, ((6, 2), (4, 2), (2, 2), *[(1, 1)] * len(cuts)), strict=False):
        ax.axhline(correlation, color=look(1).colour, linewidth=1, dashes=dashes)
        text = f"r ≥ {correlation:.2f}: {n} groups"
        ax.annotate(text, (1.005, correlation), xycoords=("axes fraction", "data"), fontsize=8.5, va="center")
    for row, (name, latents) in enumerate(marked.items()):
        style, height = look(row), 1.05 + 0.05 * row
        where = [place_s[latent] for latent in latents if latent in place_s]
        ax.plot(where, np.full(len(where), height), style.marker, color=style.colour, markersize=4, clip_on=False)
        ax.annotate(literal(name), (1.005, height), xycoords=("axes fraction", "data"), fontsize=8.5, va="center")
    ax.set_xlim(-1, tree.n_leaves)
    ax.set_ylim(1.03 + 0.05 * len(marked), low - 0.02)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_ylabel("correlation at which groups merge")
    ax.set_xlabel(f"{tree.n_leaves:,} latents in the order of the tree")
    return figure


def layout(tree: FeatureTree, most: int) -> tuple[dict[int, float], np.ndarray]:
    """Place of every latent along the order of leaves, and the U-shaped lines [k, 4, 2] of the ``most`` top merges."""
    n, children = tree.n_leaves, tree.linkage[:, :2].astype(np.int64)
    order = np.concatenate(tree.cut(-2.0))  # everything is one group there; its members come in the tree's order
    place_s = {int(latent): float(k) for k, latent in enumerate(order)}
    x = np.concatenate([[place_s[int(latent)] for latent in tree.latents], np.zeros(len(children))])
    y = np.concatenate([np.ones(n), 1 - tree.linkage[:, 2]])
    size = np.concatenate([np.ones(n), tree.linkage[:, 3]])
    for k, (left, right) in enumerate(children):
        x[n + k] = (x[left] * size[left] + x[right] * size[right]) / size[n + k]
    first = max(0, len(children) - most)
    top, merge = children[first:], y[n + first :, None]
    ends = np.where(top < n + first, np.minimum(y[top], merge + STUB), y[top])  # the stems of what is not drawn
    ys = np.concatenate([ends[:, :1], merge, merge, ends[:, 1:]], axis=1)
    return place_s, np.stack([x[top][:, [0, 0, 1, 1]], ys], axis=2)


def marked_tree(tree: FeatureTree, evidence: Evidence) -> Figure:
    """The default tree with its cuts and the latents that ``subtree`` clamps for every target."""
    cuts = evidence.groups["cuts"]
    sizes = [sum(len(group) > 1 for group in cut["groups"]) for cut in cuts]
    return tree_figure(tree, evidence.cuts(), sizes, clamped_latents(evidence))
