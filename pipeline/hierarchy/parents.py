"""Which latent is a more general case of which: parent edges beside the dendrogram.

A binary tree of latents cannot place a parent above its children: a latent and those that fire only with it are all
leaves. So parents are a graph of their own. Containment alone cannot tell a parent from a grandparent (both are 1) and
is won by latents that always fire; phi ranks (about the root of P(child | parent), highest for the closest), while
significance and Loevinger's H say whether there is an implication at all.
"""

from typing import NamedTuple

import numpy as np

from pipeline.hierarchy.correlation import Correlation
from pipeline.hierarchy.kernels import LOEVINGER, PHI, similarities, standardisation

MORE_FREQUENT = 1.1  # a parent fires at least this many times as often as its child
LEAST_H = 0.1  # implication: 1 = the child fires only with the parent, 0 = chance; misses of either dilute it


class Parents(NamedTuple):
    """One edge for every latent that has a parent, by child."""

    child: np.ndarray
    parent: np.ndarray
    phi: np.ndarray
    loevinger: np.ndarray

    def as_json(self) -> list[dict[str, float]]:
        """Rows ``{"child", "parent", "phi", "loevinger"}``."""
        columns = (column.tolist() for column in self)
        return [dict(zip(self._fields, row, strict=True)) for row in zip(*columns, strict=True)]


def parents_of_latents(correlation: Correlation) -> Parents:
    """For every latent the significant, more frequent latent of greatest phi, if H says that it is implied."""
    n_units, n, _, _ = correlation.sums
    chosen = correlation.significant
    i, j, n_ij, s_ij, _ = (column[chosen] for column in correlation.pairs)
    phi, h = (
        similarities(kind, n_units, n, standardisation(kind, *correlation.sums), i, j, n_ij, s_ij)
        for kind in (PHI, LOEVINGER)
    )
    child, parent = np.where(n[i] <= n[j], i, j), np.where(n[i] <= n[j], j, i)
    edge = (n[parent] > MORE_FREQUENT * n[child]) & (h >= LEAST_H)
    child, parent, phi, h = child[edge], parent[edge], phi[edge], h[edge]
    best = np.lexsort((parent, -phi, child))  # per child: greatest phi, then the smallest id
    _, first = np.unique(child[best], return_index=True)
    return Parents(*(column[best][first] for column in (child, parent, phi, h)))
