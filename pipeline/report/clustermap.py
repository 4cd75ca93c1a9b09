"""The similarity of all pairs of latents, in the order of the tree."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.hierarchy.correlation import Correlation
from pipeline.hierarchy.reordered import binned_similarity
from pipeline.hierarchy.tree import FeatureTree
from pipeline.report.largest_groups import caption, largest_groups
from pipeline.report.style import new_figure

MOST_CELLS = 1000  # a side; beyond that neighbours in the tree share a cell


def clustermap(tree: FeatureTree, correlation: Correlation, cuts: list[float]) -> Figure:
    """Mean similarity per cell, negative ones shown as 0; groups of the coarsest cut are outlined."""
    groups = largest_groups(tree, cuts[0])
    order = np.concatenate(groups)
    matrix = binned_similarity(correlation, order, MOST_CELLS)
    figure, (ax,) = new_figure(6, 5.4)
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
