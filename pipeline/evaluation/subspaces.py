"""Do two groups of latents span the same directions, whatever their single directions are?"""

import numpy as np

FLAT = 1e-6  # of the largest singular value: below it a direction is not there


def basis(rows_kd: np.ndarray) -> np.ndarray:
    """Orthonormal rows with the same span; fewer than k where rows depend on each other, [r, d]."""
    _, size, directions = np.linalg.svd(rows_kd, full_matrices=False)
    return directions[size > FLAT * max(float(size.max(initial=0.0)), 1e-300)]


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Mean squared cosine of the principal angles of two spans given by their bases: |A B^T|^2 / min(r, r').

    1: the smaller one lies in the larger one. Random spans of r and r' in d dimensions have max(r, r') / d.
    """
    return float(np.square(one @ two.T).sum() / min(len(one), len(two)))


def captured(directions_kd: np.ndarray, span: np.ndarray) -> np.ndarray:
    """The share of each unit direction's squared length that lies in a span: |w P|^2, [k]."""
    return np.square(directions_kd @ span.T).sum(1)
