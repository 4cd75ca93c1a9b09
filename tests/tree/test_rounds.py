"""Average linkage by rounds of reciprocal nearest neighbours equals fastcluster, cut by cut."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, is_monotonic, is_valid_linkage
from sklearn.metrics import adjusted_rand_score

from pipeline.tree.dendrogram import _condensed
from pipeline.tree.linkage import linkage_of, rounds_linkage


def sparse_pearson(n=3000, s=300, seed=0):
    """Pairs that co-fire, their r, and a: the sparse plus rank one form of a correlation matrix with 30 families."""
    rng = np.random.default_rng(seed)
    cause = rng.random((n, 30)) < 0.02
    fires = cause[:, np.arange(s) % 30] & (rng.random((n, s)) < rng.uniform(0.2, 0.9, s))
    dense = (fires | (rng.random((n, s)) < 0.002)) * rng.lognormal(size=(n, s))
    mean, sd = dense.mean(0), dense.std(0)
    products = dense.T @ dense / n
    i, j = np.nonzero(np.triu(products, 1))
    r = (products[i, j] - mean[i] * mean[j]) / (sd[i] * sd[j])
    return i, j, r, mean / sd


def partitions_agree(left, right, height):
    one, other = fcluster(left, height, "distance"), fcluster(right, height, "distance")
    return adjusted_rand_score(one, other) == 1


def test_all_cuts_and_heights_are_fastclusters():
    i, j, r, a = sparse_pearson()
    expected = linkage_of(_condensed(a, i, j, r), "average")
    found, exact = rounds_linkage(i, j, r, a)
    assert is_valid_linkage(found)
    assert is_monotonic(found)
    assert 200 < exact < 299
    np.testing.assert_allclose(found[:exact, 2], expected[:exact, 2], atol=1e-9)
    assert expected[exact, 2] >= 1  # what is joined flatly has no positive similarity
    for height in (0.3, 0.5, 0.7, 0.9, 0.99):
        assert partitions_agree(found, expected, height)


def test_dropping_weak_pairs_keeps_the_strong_cuts():
    """Planted families: pairs below .02 are chance and hardly move an average."""
    i, j, r, a = sparse_pearson()
    keep = r > 0.02
    exact, _ = rounds_linkage(i, j, r, a)
    thinned, _ = rounds_linkage(i[keep], j[keep], r[keep], a)
    for height in (0.3, 0.5, 0.7):
        assert partitions_agree(exact, thinned, height)


def test_ties_end_and_are_valid():
    """A ring of equal similarities: every leaf has two nearest neighbours."""
    n = 50
    i, j = np.arange(n - 1), np.arange(1, n)
    found, exact = rounds_linkage(np.r_[i, 0], np.r_[j, n - 1], np.full(n, 0.5), np.zeros(n))
    assert is_valid_linkage(found)
    assert is_monotonic(found)
    assert exact == n - 1


@pytest.mark.parametrize("n", [2, 5])
def test_leaves_without_any_pair_are_a_flat_forest(n):
    empty = np.empty(0, int)
    found, exact = rounds_linkage(empty, empty, np.empty(0), np.full(n, 0.1))
    assert exact == 0
    assert is_valid_linkage(found)
    assert (found[:, 2] == 1).all()
    assert found[-1, 3] == n


def test_by_hand():
    """0-1 at .9, 2-3 at .8, then the groups at the mean of .4, .2, 0, 0 (absent) = .15."""
    i, j, r = np.array([0, 2, 0, 1]), np.array([1, 3, 2, 3]), np.array([0.9, 0.8, 0.4, 0.2])
    found, exact = rounds_linkage(i, j, r, np.zeros(5))
    expected = [[0, 1, 0.1, 2], [2, 3, 0.2, 2], [5, 6, 0.85, 4], [4, 7, 1, 5]]
    np.testing.assert_allclose(found, expected)
    assert exact == 3
