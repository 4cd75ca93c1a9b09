"""From a correlation to the tree: distances by hand, rare latents, every linkage, exports that others can read."""

import io
from dataclasses import replace

import fastcluster
import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pipeline.core.errors import PipelineError
from pipeline.tree.correlation import Correlation, Pairs
from pipeline.tree.correlation_file import binned_similarity
from pipeline.tree.dendrogram import build_tree, condensed_distance
from pipeline.tree.export import groups_at, newick, tree_json, write_tree
from pipeline.tree.feature_tree import FeatureTree, load_tree
from pipeline.tree.linkage import METHODS, cut_correlations, linkage_of
from pipeline.tree.units import Sums


def correlation_of(dense: np.ndarray) -> Correlation:
    """Pearson correlation of a small dense matrix [unit, latent]."""
    fires = (dense != 0).astype(np.int64)
    n_ij, s_ij = fires.T @ fires, dense.T @ dense
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(dense, rowvar=False))
    i, j = np.nonzero(np.triu(n_ij, 1))
    pairs = Pairs(i.astype(np.int32), j.astype(np.int32), n_ij[i, j], s_ij[i, j], r[i, j].astype(np.float32))
    sums = Sums(len(dense), fires.sum(0), dense.sum(0), (dense**2).sum(0))
    return Correlation("document", None, "pearson", None, sums, pairs, pairs.r > 0.5)


def random_codes(n=400, s=60, seed=0):
    """Three families of latents that share a latent cause, plus noise."""
    rng = np.random.default_rng(seed)
    cause = rng.random((n, 3)) < 0.2
    fires = (rng.random((n, s)) < 0.05) | (cause[:, np.arange(s) % 3] & (rng.random((n, s)) < 0.6))
    return rng.lognormal(size=(n, s)) * fires


def test_distances_are_one_minus_correlation_in_scipys_order():
    dense = random_codes()
    expected = squareform(1 - np.corrcoef(dense, rowvar=False), checks=False)
    distance = condensed_distance(correlation_of(dense), np.arange(60))
    np.testing.assert_allclose(distance, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_groups_are_scipys_for_every_linkage(method):
    dense = random_codes()
    tree = build_tree(correlation_of(dense), 1, method)
    distance = squareform(1 - np.corrcoef(dense, rowvar=False), checks=False)
    merges = linkage(np.sqrt(2 * distance) if method == "ward" else distance, method)
    for correlation in (0.1, 0.3, 0.5):
        height = np.sqrt(2 * (1 - correlation)) if method == "ward" else 1 - correlation
        expected = fcluster(merges, height, "distance")
        labels = tree.labels(correlation)
        assert len(set(zip(labels, expected, strict=True))) == len(set(labels)) == expected.max()


def test_rare_latents_are_attached_to_their_nearest_and_dead_ones_are_not():
    dense = random_codes()
    dense[:, 7] = 0  # dead
    dense[:, 8] = 2.0  # always on at one value
    dense[:, 9] = 0
    dense[:3, 9] = 1.0  # fires three times, each time with 10 and nothing else
    dense[:3] = dense[:3] * (np.arange(60) == 9)
    dense[:3, 10] = 1.0
    dense[:3, 8] = 2.0
    tree = build_tree(correlation_of(dense), min_firings=10)
    assert not {7, 8, 9} & set(tree.latents.tolist())
    assert dict(zip(tree.rare.tolist(), tree.nearest.tolist(), strict=True)) == {9: 10}
    for cut in groups_at(tree, [0.1, 0.5]):
        (home,) = [group for group, rare in zip(cut["groups"], cut["attached"], strict=True) if 9 in rare]
        assert 10 in home
        assert not any(9 in group for group in cut["groups"])


def test_duplicates_merge_at_height_zero():
    dense = random_codes()
    dense[:, 1] = dense[:, 0]
    tree = build_tree(correlation_of(dense), 1)
    assert tree.linkage[0, 2] == pytest.approx(0, abs=1e-6)
    assert tree.linkage[:, 2].min() >= 0
    assert {0, 1} in [set(group.tolist()) for group in tree.cut(0.999)]


def test_two_latents_that_never_fire_together_are_two_groups_at_every_positive_correlation():
    tree = build_tree(correlation_of(np.array([[1.0, 0], [0, 1], [0, 0], [2, 0]])), 1)
    assert tree.linkage[0, 2] > 1
    assert len(tree.cut(0.01)) == 2


def test_too_few_latents_for_a_tree_is_one_sentence():
    with pytest.raises(PipelineError, match="1 latents fire in at least 2 documents of 4"):
        build_tree(correlation_of(np.array([[1.0, 0], [1, 1], [0, 0], [0, 0]])), 2)


def test_cuts_divide_the_threshold_evenly():
    assert cut_correlations(0.7, 1) == [0.7]
    assert cut_correlations(0.5, 3) == [0.166667, 0.333333, 0.5]


HAND = FeatureTree(np.array([[0, 1, 0.25, 2], [2, 3, 0.75, 3]], float), np.array([10, 11, 12]))


def test_newick_by_hand():
    assert newick(HAND) == "(12:0.75,(10:0.25,11:0.25):0.5);\n"


def test_biopython_reads_the_newick():
    """Leaves, their names and every height: half of what a program like ete needs is that Biopython agrees."""
    phylo = pytest.importorskip("Bio.Phylo")
    tree = build_tree(correlation_of(random_codes()), 1)
    read = phylo.read(io.StringIO(newick(tree)), "newick")
    assert sorted(int(leaf.name) for leaf in read.get_terminals()) == list(range(60))
    depth = read.depths()
    assert {round(depth[leaf], 4) for leaf in read.get_terminals()} == {round(tree.linkage[-1, 2], 4)}
    assert len(read.get_nonterminals()) == len(tree.linkage)


def test_nodes_as_json_by_hand():
    exported = tree_json(replace(HAND, rare=np.array([7]), nearest=np.array([11])), {"scale": "token"})
    assert exported["rare"] == [{"latent": 7, "nearest": 11}]
    assert exported["leaves"][0] == {"id": 0, "latent": 10, "parent": 3}
    assert exported["merges"][1] == {
        "id": 4, "children": [2, 3], "size": 3, "height": 0.75, "correlation": 0.25, "parent": None
    }  # fmt: skip


def test_a_written_tree_is_complete(tmp_path):
    write_tree(tmp_path, HAND, [0.2, 0.6], {"scale": "token"})
    names = {"linkage.npy", "latents.npy", "rare.npy", "groups.json", "tree.json", "tree.nwk"}
    assert {path.name for path in tmp_path.iterdir()} == names
    np.testing.assert_array_equal(load_tree(tmp_path).linkage, HAND.linkage)


@pytest.mark.parametrize("cells", [60, 7])
def test_cluster_map_cells_are_means_of_the_reordered_matrix(cells):
    dense = random_codes()
    correlation = correlation_of(dense)
    tree = build_tree(correlation, 1)
    order = np.concatenate(tree.cut(-2.0))
    matrix = np.corrcoef(dense, rowvar=False)[np.ix_(order, order)]
    np.fill_diagonal(matrix, np.nan)
    cell = np.arange(60) * cells // 60
    found = binned_similarity(correlation, order, cells)
    for row, column in [(0, 0), (1, 3), (cells - 1, 2), (cells - 1, cells - 1)]:
        block = matrix[np.ix_(cell == row, cell == column)]
        expected = 1 if np.isnan(block).all() else np.nanmean(block)
        assert found[row, column] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 50])
def test_linkage_is_fastclusters_own(n, method):
    """Every size finds its number of leaves from the vector's length alone."""
    distance = np.random.default_rng(n).random(n * (n - 1) // 2)
    expected = fastcluster.linkage(np.sqrt(2 * distance) if method == "ward" else distance, method)
    if method == "ward":
        expected[:, 2] = expected[:, 2] ** 2 / 2
    np.testing.assert_allclose(linkage_of(distance.copy(), method), expected)
