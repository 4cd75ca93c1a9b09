"""The linkage of a condensed distance vector, and the correlations at which every tree is cut."""

import math

import fastcluster
import numpy as np

METHODS = ("average", "complete", "weighted", "ward", "single")


def linkage_of(distance: np.ndarray, method: str) -> np.ndarray:
    """Scipy's linkage of a condensed 1 - r, which is overwritten; the heights are on the scale of 1 - r.

    Ward needs Euclidean distances, sqrt(2 (1 - r)) between standardised latents; its heights h are given as h^2 / 2,
    which is 1 - r again for a merge of two leaves.
    """
    if method == "ward":
        distance = np.sqrt(np.multiply(distance, 2, out=distance), out=distance)
    n = math.isqrt(2 * len(distance)) + 1
    linkage = np.empty((n - 1, 4))
    # fastcluster 1.3.0's linkage() copies a vector before it looks at preserve_input=False, which doubles the peak.
    fastcluster.linkage_wrap(n, distance, linkage, fastcluster.mthidx[method])
    if method == "ward":
        linkage[:, 2] = linkage[:, 2] ** 2 / 2
    return linkage


def cut_correlations(threshold: float, levels: int) -> list[float]:
    """The correlation of every cut, coarsest first: level l of L is at l/L of ``threshold``.

    >>> cut_correlations(0.6, 3)
    [0.2, 0.4, 0.6]
    """
    return [round(threshold * level / levels, 6) for level in range(1, levels + 1)]
