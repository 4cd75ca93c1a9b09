"""The correlation in the order of the tree, as a picture: blocks on the diagonal are groups."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.hierarchy.correlation import Correlation
from pipeline.hierarchy.tree import FeatureTree


def binned_similarity(correlation: Correlation, tree: FeatureTree, cells: int) -> np.ndarray:
    """Mean similarity of the pairs of two stretches of the dendrogram's order, float64 [cells, cells].

    With at most ``cells`` latents every cell is one pair. Sparse plus rank one again: the sum over a cell is that of
    r + a a' over its listed pairs less (sum of a) (sum of a'), so no square matrix of all latents is built.
    """
    order = np.concatenate(tree.cut(-2.0))  # one group, its members along the dendrogram
    cells = min(cells, len(order))
    cell_of = np.full(len(correlation.sums.n), -1)
    cell_of[order] = np.arange(len(order)) * cells // len(order)
    a, (i, j, _, _, r) = correlation.rank_one(), correlation.pairs
    row, column = cell_of[i], cell_of[j]
    listed = (row >= 0) & (column >= 0)
    row, column = row[listed], column[listed]
    weight = r[listed] + a[i[listed]] * a[j[listed]]
    total = np.bincount(row * cells + column, weight, cells * cells).reshape(cells, cells)
    size = np.bincount(cell_of[order]).astype(float)
    a_cell, a_square = (np.bincount(cell_of[order], a[order] ** power) for power in (1, 2))
    total = total + total.T - np.outer(a_cell, a_cell) + np.diag(a_square)
    pairs = np.outer(size, size) - np.diag(size)
    return np.divide(total, pairs, out=np.ones_like(total), where=pairs > 0)


def cluster_map(correlation: Correlation, tree: FeatureTree, cuts: list[float], cells: int = 800) -> Figure:
    """The binned similarity with the borders of every cut's groups that are wide enough to be seen."""
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    axes = figure.add_subplot()
    shown = binned_similarity(correlation, tree, cells)
    n = tree.n_leaves
    top = max(0.05, float(np.quantile(shown, 0.995)))
    image = axes.imshow(shown, vmin=-top, vmax=top, cmap="RdBu_r", extent=(0, n, n, 0), interpolation="nearest")
    for cut, width in zip(cuts, np.linspace(1.2, 0.5, len(cuts)), strict=True):
        start = 0
        for group in tree.cut(cut):
            if len(group) >= max(2, n // 100):
                stop = start + len(group)
                square = [start, stop, stop, start, start], [start, start, stop, stop, start]
                axes.plot(*square, color="black", linewidth=width)
            start += len(group)
    axes.set_xlabel(f"{n:,} latents in the order of the tree ({correlation.scale} scale)")
    axes.set_yticks([])
    figure.colorbar(image, ax=axes, label=f"{correlation.similarity}, mean of a cell", shrink=0.8)
    return figure
