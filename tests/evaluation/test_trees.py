"""Agreement of trees and partitions on small cases, against scipy, scikit-learn and counting by hand."""

import itertools

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, cut_tree, linkage
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, fowlkes_mallows_score
from sklearn.metrics.cluster import contingency_matrix

from pipeline.evaluation.partitions import (
    CAP,
    ami,
    ari,
    bakers_gamma,
    cophenetic,
    draw_triplets,
    fowlkes_mallows,
    purity,
    row_of,
    triplet_agreement,
)
from pipeline.evaluation.tree_stability import common_rows, compare
from pipeline.tree.feature_tree import FeatureTree

METHODS = ("average", "complete", "ward", "single")


def random_tree(seed: int, n: int = 30, method: str = "average") -> FeatureTree:
    """Heights below ``CAP``, latent ids with gaps between them."""
    points = np.random.default_rng(seed).normal(size=(n, 3))
    merges = linkage(points, method)
    merges[:, 2] *= 0.9 * CAP / merges[-1, 2]
    return FeatureTree(merges, np.arange(n) * 2 + 1)


def everything(tree: FeatureTree) -> np.ndarray:
    return np.sort(tree.latents)


@pytest.mark.parametrize("method", METHODS)
def test_a_row_has_scipys_cophenetic_heights_and_cuts(method: str) -> None:
    tree = random_tree(0, method=method)
    row = row_of(tree, everything(tree))
    assert row.heights() == pytest.approx(squareform(cophenet(tree.linkage)))
    for k in (1, 2, 7, 29, 30):
        expected = cut_tree(tree.linkage, n_clusters=k)[:, 0]
        assert len(np.unique(row.labels(k))) == k
        assert adjusted_rand_score(row.labels(k), expected) == 1
        height = tree.linkage[30 - k - 1, 2] if k < 30 else 0.0
        assert row.groups_at(height) == k


def test_a_restricted_row_has_the_heights_of_the_whole_tree() -> None:
    tree = random_tree(1)
    chosen = tree.latents[[3, 4, 9, 17, 28]]
    whole = squareform(cophenet(tree.linkage))
    assert row_of(tree, chosen).heights() == pytest.approx(whole[np.ix_([3, 4, 9, 17, 28], [3, 4, 9, 17, 28])])


# one partition, the other, why
PARTITIONS = [
    ([0, 0, 1, 1, 2, 2], [5, 5, 3, 3, 9, 9], "the same under other names"),
    ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2], "one borrows from the other"),
    ([0, 0, 1, 1, 2, 3], [0, 0, 0, 0, 1, 2], "finer against coarser, with single items"),
    ([0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 2, 2], "one group against three"),
]


@pytest.mark.parametrize(("one", "two", "why"), PARTITIONS)
def test_partitions_agree_as_scikit_learn_says(one: list[int], two: list[int], why: str) -> None:
    one_n, two_n = np.array(one), np.array(two)
    assert ari(one_n, two_n) == pytest.approx(adjusted_rand_score(one, two)), why
    assert fowlkes_mallows(one_n, two_n) == pytest.approx(fowlkes_mallows_score(one, two)), why
    table = contingency_matrix(two, one)
    assert purity(one_n, two_n) == pytest.approx(table.max(0).sum() / len(one)), why


def test_ami_leaves_out_what_is_alone_in_both() -> None:
    one, two = np.array([0, 0, 1, 1, 2, 3, 4]), np.array([0, 0, 1, 2, 2, 5, 6])
    assert ami(one, two) == pytest.approx(adjusted_mutual_info_score(one[:5], two[:5]))
    assert ami(one, two) < adjusted_mutual_info_score(one, two), "the single items would pass for agreement"
    assert ami(np.arange(4), np.arange(4)) is None


def test_purity_by_hand() -> None:
    assert purity(np.array([0, 0, 0, 1, 1]), np.array([7, 7, 8, 8, 9])) == pytest.approx((2 + 1) / 5)


@pytest.mark.parametrize("seed", range(3))
def test_heights_agree_as_scipy_says(seed: int) -> None:
    one, two = random_tree(seed), random_tree(seed + 10)
    heights = [squareform(cophenet(tree.linkage)) for tree in (one, two)]
    flat = [cophenet(tree.linkage) for tree in (one, two)]
    assert cophenetic(*heights) == pytest.approx(np.corrcoef(*flat)[0, 1])
    assert bakers_gamma(*heights) == pytest.approx(spearmanr(*flat).statistic)


def test_bakers_gamma_is_that_of_its_definition() -> None:
    """Baker (1974): rank correlation of the numbers k of the coarsest cut in which a pair is still together."""
    trees = [random_tree(4, 12), random_tree(5, 12)]
    stages = []
    for tree in trees:
        cuts = cut_tree(tree.linkage)  # [items, merges done]
        pairs = itertools.combinations(range(12), 2)
        stages.append([int(np.argmax(cuts[i] == cuts[j])) for i, j in pairs])
    heights = [squareform(cophenet(tree.linkage)) for tree in trees]
    assert bakers_gamma(*heights) == pytest.approx(spearmanr(*stages).statistic)


def test_merges_above_the_cap_tie() -> None:
    """Three pairs, joined above the cap in another order: the same tree as far as it means something."""
    one = np.array([[0, 1, 0.2, 2], [2, 3, 0.3, 2], [4, 5, 0.4, 2], [6, 7, 1.01, 4], [8, 9, 1.02, 6]])
    two = np.array([[0, 1, 0.2, 2], [2, 3, 0.3, 2], [4, 5, 0.4, 2], [7, 8, 1.01, 4], [6, 9, 1.02, 6]])
    heights = [squareform(cophenet(merges)) for merges in (one, two)]
    assert cophenetic(*heights) == pytest.approx(1)
    assert bakers_gamma(*heights) == pytest.approx(1)
    assert cophenetic(np.full((4, 4), 2.0), heights[0][:4, :4]) is None, "no pair of it is ever together"


def test_triplets_by_counting_all() -> None:
    one, two = (squareform(cophenet(random_tree(seed, 9).linkage)) for seed in (6, 7))
    every = np.array(list(itertools.combinations(range(9), 3)))

    def single(height: np.ndarray, items: tuple[int, ...]) -> int | None:
        first = min(itertools.combinations(items, 2), key=lambda pair: height[pair])
        return next(item for item in items if item not in first)

    same = [single(one, tuple(t)) == single(two, tuple(t)) for t in every]
    assert triplet_agreement(one, two, every) == pytest.approx(np.mean(same))
    assert triplet_agreement(one, one, every) == 1
    assert triplet_agreement(np.ones((3, 3)), np.ones((3, 3)), np.array([[0, 1, 2]])) is None


def test_drawn_triplets_are_different_items_and_all_equally_likely() -> None:
    drawn = draw_triplets(5, 20_000, np.random.default_rng(0))
    assert all(len(set(triplet)) == 3 for triplet in drawn.tolist())
    _, count = np.unique(drawn, axis=0, return_counts=True)
    assert len(count) == 5 * 4 * 3
    assert count.std() < 2 * np.sqrt(20_000 / 60)


def test_a_tree_agrees_with_itself_and_not_with_its_shuffled_leaves() -> None:
    tree = random_tree(8, 60)
    rows = common_rows(tree, tree, np.stack([tree.latents] * 2, axis=1), seed=0)
    assert rows is not None
    same = compare(*rows, [0.4, 0.7], seed=0)
    assert list(same.named().values()) == pytest.approx([1.0] * len(same.named()))
    shuffled = compare(rows[0], rows[1].shuffled(np.random.default_rng(0)), [0.4, 0.7], seed=0)
    assert same.groups == shuffled.groups
    assert shuffled.triplets == pytest.approx(1 / 3, abs=0.1)
    assert all(abs(value) < 0.15 for value in (*shuffled.ari, shuffled.cophenetic, shuffled.bakers_gamma))


def test_trees_over_other_latents_are_compared_over_the_matched_ones() -> None:
    """The second tree has other names for its latents, and one leaf more."""
    one = random_tree(9, 12)
    renamed = FeatureTree(one.linkage, one.latents + 100)
    pairs = np.stack([one.latents, one.latents + 100], axis=1)
    strangers = np.array([[1000, 101], [1, 1001]])  # in one of the two trees only
    rows = common_rows(one, renamed, np.concatenate([pairs, strangers]), seed=0)
    assert rows is not None and len(rows[0].item) == 12
    assert compare(*rows, [0.5], seed=0).bakers_gamma == pytest.approx(1)
    sampled = common_rows(one, renamed, pairs, seed=0, most=6)
    assert sampled is not None and len(sampled[0].item) == 6
    assert common_rows(one, renamed, pairs[:3], seed=0) is None
