"""The similarity of all pairs of latents, in the order of the tree."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.hierarchy.correlation import Correlation
from pipeline.hierarchy.tree import FeatureTree
from pipeline.report.style import new_figure

MOST_CELLS = 1000  # a side; beyond that neighbours in the tree share a cell


def clustermap(tree: FeatureTree, correlation: Correlation, cuts: list[float]) -> Figure:
    """Mean similarity per cell, negative ones as 0; the groups of the coarsest cut are outlined on the diagonal."""
    matrix = cells(tree, correlation, MOST_CELLS)
    figure, (ax,) = new_figure(6, 5.4)
    shown = ax.imshow(matrix, cmap="cividis", vmin=0, vmax=1, extent=(0, tree.n_leaves, tree.n_leaves, 0))
    stop = 0
    for group in tree.cut(cuts[0]):
        start, stop = stop, stop + len(group)
        if len(group) > 1:
            ax.plot([start, stop, stop, start, start], [start, start, stop, stop, start], color="white", linewidth=0.7)
    figure.colorbar(shown, ax=ax, label=f"{correlation.similarity} by {correlation.scale}", shrink=0.8)
    ax.set_xlabel(f"{tree.n_leaves:,} latents in the order of the tree; outlined: groups at r ≥ {cuts[0]:.2f}")
    ax.set_yticks([])
    return figure


def cells(tree: FeatureTree, correlation: Correlation, most: int) -> np.ndarray:
    """Mean similarity of the pairs in every cell of the reordered matrix, float64 [side, side]; 1 on the diagonal.

    Pairs that are not listed (they never co-fire, or are below the floor) count as 0.
    """
    order = np.concatenate(tree.cut(-2.0))
    n, side = len(order), min(len(order), most)
    cell_s = np.full(len(correlation.sums.n), -1, np.int64)
    cell_s[order] = np.arange(n) * side // n
    i, j = cell_s[correlation.pairs.i], cell_s[correlation.pairs.j]
    both = (i >= 0) & (j >= 0)
    r = np.clip(correlation.pairs.r[both].astype(np.float64), 0, 1)
    total = np.bincount(i[both] * side + j[both], weights=r, minlength=side * side).reshape(side, side)
    size = np.bincount(cell_s[order], minlength=side)
    return (total + total.T + np.diag(size)) / np.outer(size, size)
