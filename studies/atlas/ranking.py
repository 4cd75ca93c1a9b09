"""Average precision of many rankings at once."""

import numpy as np
from scipy.stats import rankdata


def ranks(score_xf: np.ndarray) -> np.ndarray:
    """From 1, the highest first; equal scores share their last rank, float32 [x, f]."""
    return rankdata(-score_xf, method="max", axis=0).astype(np.float32)


def average_precisions(rank_xf: np.ndarray, inside_x: np.ndarray) -> np.ndarray:
    """Average precision of every column for finding ``inside_x``, as scikit-learn defines it, [f]."""
    rank_pf = rank_xf[inside_x]
    return (rankdata(rank_pf, method="max", axis=0) / rank_pf).mean(0)
