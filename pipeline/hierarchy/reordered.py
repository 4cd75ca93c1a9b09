"""The correlation in an order of the tree: blocks on the diagonal are groups."""

import numpy as np

from pipeline.hierarchy.correlation import Correlation


def binned_similarity(correlation: Correlation, order: np.ndarray, cells: int) -> np.ndarray:
    """Mean similarity of the pairs of two stretches of ``order`` (latent ids), float64 [cells, cells].

    With at most ``cells`` latents every cell is one pair. Sparse plus rank one again: the sum over a cell is that of
    r + a a' over its listed pairs less (sum of a) (sum of a'), so no square matrix of all latents is built.
    """
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
