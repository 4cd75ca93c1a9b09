"""The tail of a co-fire count is scipy's hypergeometric, and chance alone gives no significant pair."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from pipeline.tree.correlation import log_tail, significant_pairs


@pytest.mark.parametrize(
    ("n_units", "n_i", "n_j", "n_ij"),
    [
        (100, 10, 10, 5),
        (1000, 400, 300, 150),  # dense latents: many terms count
        (20_000, 60, 90, 12),
        (50, 20, 30, 20),  # the rarer one fires only with the other
        (10, 10, 7, 7),  # an always-on latent: no choice, no evidence
        (100, 50, 50, 20),  # below the mean
    ],
)
def test_tail_is_scipys(n_units, n_i, n_j, n_ij):
    expected = hypergeom.logsf(n_ij - 1, n_units, n_i, n_j) if n_ij > n_i * n_j / n_units else 0
    assert log_tail(n_units, n_i, n_j, n_ij) == pytest.approx(expected, abs=1e-8)


def test_bonferroni_counts_only_latents_that_fire():
    n = np.array([10, 10, 0, 0])
    i, j = np.array([0]), np.array([1])
    p = np.exp(log_tail(100, 10, 10, 4))  # 0.0096
    assert significant_pairs(100, n, i, j, np.array([4]), alpha=1.01 * p).tolist() == [True]
    assert significant_pairs(100, np.full(4, 10), i, j, np.array([4]), alpha=1.01 * p).tolist() == [False]


def test_independent_latents_have_no_significant_pair():
    rng = np.random.default_rng(0)
    fires = rng.random((4000, 120)) < rng.uniform(0.001, 0.5, 120)
    counts = fires.T.astype(int) @ fires
    i, j = np.triu_indices(120, 1)
    found = significant_pairs(4000, np.diag(counts).copy(), i, j, counts[i, j], 0.05)
    assert found.sum() == 0
