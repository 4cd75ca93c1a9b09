"""The tree value: cuts are scipy's, nodes hold their members, shuffling keeps the shape, files round-trip."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import average, dendrogram, fcluster
from scipy.spatial.distance import pdist

from pipeline.core.errors import PipelineError
from pipeline.tree.feature_tree import FeatureTree, load_tree, parents_of, save_tree

# ((10, 11) at .8, 12) at .5, (13, 14) at .6, all at .1
HAND = FeatureTree(
    linkage=np.array([[0, 1, 0.2, 2], [3, 4, 0.4, 2], [2, 5, 0.5, 3], [6, 7, 0.9, 5]], float),
    latents=np.array([10, 11, 12, 13, 14]),
    rare=np.array([20, 21]),
    nearest=np.array([12, 14]),
)


def as_sets(groups):
    return sorted(sorted(map(int, group)) for group in groups)


def random_tree(n, seed=0):
    points = np.random.default_rng(seed).random((n, 3))
    return FeatureTree(average(pdist(points) / 3), np.arange(n) * 7)


@pytest.mark.parametrize(
    ("correlation", "groups"),
    [
        (0.9, [[10], [11], [12], [13], [14]]),  # above every merge: singles
        (0.8, [[10, 11], [12], [13], [14]]),  # exactly at a merge: it belongs to the cut
        (0.55, [[10, 11], [12], [13, 14]]),
        (0.5, [[10, 11, 12], [13, 14]]),
        (0.0, [[10, 11, 12, 13, 14]]),
    ],
)
def test_cut_by_hand(correlation, groups):
    assert as_sets(HAND.cut(correlation)) == groups


def test_cuts_equal_scipys_on_a_random_tree():
    tree = random_tree(200)
    for correlation in (0.99, 0.9, 0.8, 0.7, 0.0):
        expected = fcluster(tree.linkage, 1 - correlation, "distance")
        labels = tree.labels(correlation)
        assert len(np.unique(labels)) == expected.max()
        assert len(set(zip(labels, expected, strict=True))) == expected.max()
        for g, group in enumerate(tree.cut(correlation)):
            assert set(group) == set(tree.latents[labels == g])


def test_nodes_have_scipys_ids_and_members_and_parents():
    nodes = {node.id: node for node in HAND.nodes()}
    assert sorted(nodes) == [5, 6, 7, 8]
    assert set(nodes[7].members) == {10, 11, 12}
    assert [nodes[k].parent for k in (5, 6, 7, 8)] == [7, 8, 8, -1]
    assert nodes[8].height == 0.9
    assert len(nodes[8].members) == 5
    assert parents_of(HAND.linkage)[:5].tolist() == [5, 5, 7, 6, 6]


def test_rare_latents_follow_their_nearest_at_every_cut():
    groups, attached = HAND.cut_with_rare(0.5)
    for group, extra in zip(groups, attached, strict=True):
        assert set(extra) == ({20} if 12 in group else {21})


def test_shuffling_keeps_the_shape_and_moves_the_latents():
    tree = random_tree(100)
    shuffled = tree.shuffled(np.random.default_rng(1))
    np.testing.assert_array_equal(shuffled.linkage, tree.linkage)
    assert set(shuffled.latents) == set(tree.latents)
    assert (shuffled.latents != tree.latents).mean() > 0.9
    assert sorted(map(len, shuffled.cut(0.8))) == sorted(map(len, tree.cut(0.8)))


def test_a_chain_of_4000_leaves_needs_no_recursion():
    n = 4000
    linkage = np.zeros((n - 1, 4))
    linkage[0] = [0, 1, 0, 2]
    for k in range(1, n - 1):
        linkage[k] = [n + k - 1, k + 1, k / n, k + 2]
    tree = FeatureTree(linkage, np.arange(n))
    assert len(tree.nodes()[-1].members) == n


def test_a_single_leaf_is_one_group():
    tree = FeatureTree(np.empty((0, 4)), np.array([3]))
    assert as_sets(tree.cut(0.5)) == [[3]]
    assert tree.nodes() == []


def test_files_round_trip_and_scipy_draws_them(tmp_path):
    save_tree(tmp_path, HAND)
    loaded = load_tree(tmp_path)
    np.testing.assert_array_equal(loaded.linkage, HAND.linkage)
    np.testing.assert_array_equal(loaded.latents, HAND.latents)
    np.testing.assert_array_equal(loaded.nearest, HAND.nearest)
    assert len(dendrogram(np.load(tmp_path / "linkage.npy"), no_plot=True)["leaves"]) == 5


def test_a_missing_tree_says_what_to_run(tmp_path):
    with pytest.raises(PipelineError, match="run `uv run dvc repro build_dendrogram`"):
        load_tree(tmp_path)


def test_leaves_and_merges_must_agree():
    with pytest.raises(ValueError, match="5 leaves cannot have"):
        FeatureTree(HAND.linkage[:3], HAND.latents)
