"""Our own measures on cases small enough to work out by hand, against scikit-learn and numpy where they have them."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_mutual_info_score

from pipeline.codes.store import SparseCodes
from pipeline.evaluation.coherence import decoder_lift, firing_lift
from pipeline.evaluation.forgetting import drops_by_node, sibling_precision
from pipeline.evaluation.partitions import purity
from pipeline.evaluation.statistics import Figures, half_sample_error, ratio_error, standard_error
from pipeline.evaluation.tree_truth import edge_scores, places_of
from pipeline.evaluation.truth import FEWEST, Belonging, belonging, best_ami, cut_truth
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.firing import Firing


def test_the_standard_error_of_independent_items_is_the_textbook_one():
    values = np.random.default_rng(0).random(400)
    clusters = [str(i) for i in range(400)]
    assert standard_error(values, clusters, seed=0) == pytest.approx(values.std() / 20, rel=0.1)


def test_items_of_one_fact_do_not_count_as_independent():
    values = np.repeat(np.random.default_rng(0).random(100), 4)
    together = standard_error(values, [str(i // 4) for i in range(400)], seed=0)
    apart = standard_error(values, [str(i) for i in range(400)], seed=0)
    assert together == pytest.approx(2 * apart, rel=0.15), "four copies carry the information of one"


def test_a_single_cluster_has_no_spread():
    assert standard_error(np.array([0.0, 1.0]), ["a", "a"], seed=0) == 0.0


def test_the_ratio_of_sums_is_what_is_resampled():
    top, bottom = np.array([1.0, 3.0]), np.array([1.0, 1.0])
    draws = np.array([1.0, 2.0, 2.0, 3.0])  # of two clusters with replacement
    assert ratio_error(top, bottom, ["a", "b"], seed=0) == pytest.approx(draws.std(), rel=0.1)


def test_figures_keep_what_a_mean_is_made_of():
    figures = Figures(seed=0)
    figures.mean("drop", ["q1", "q2"], np.array([0.5, 0.0]), ["f", "g"], scale=100)
    entry = figures.as_dict()
    assert entry["means"] == {"drop": 25.0}
    assert entry["values"]["drop"] == {"agg_value": 25.0, "value_by_index": {"q1": 50.0, "q2": 0.0}}
    assert entry["stderrs"]["drop"] > 0


@pytest.mark.parametrize(
    ("lost", "precision"),
    [
        ([1, 1, 0, 0], 1.0),  # only the target lost
        ([1, 1, 1, 1], 0.5),  # siblings lost as much
        ([1, 1, -1, 1], 1 / 1.5),  # a sibling's gain does not pay for another's loss
        ([0, 0, 0, 0], None),  # nothing was lost anywhere
    ],
)
def test_sibling_precision(lost, precision):
    probes = [{"path": path} for path in (["d", "t", "a"], ["d", "t", "b"], ["d", "u", "c"], ["d", "v", "e"])]
    sibling = np.array([False, False, True, True])
    by_sibling = drops_by_node(np.array(lost, float), probes, ("d", "t"), sibling)
    assert by_sibling == {("d", "u"): lost[2], ("d", "v"): lost[3]}
    found = sibling_precision(float(np.mean(lost[:2])), list(by_sibling.values()))
    assert found == (None if precision is None else pytest.approx(precision))


def test_a_feature_belongs_where_most_of_its_activation_falls():
    documents = [
        {"path": ["d", "t"], "kind": "profile"},
        {"path": ["d", "u"], "kind": "profile"},
        {"path": [], "kind": "story"},
        {"path": [], "kind": "mixed_facts"},
    ]
    # latent 0: all on t; latent 1: half t, half story; latent 2: on mixed facts only, which count for nothing
    rows = [(0, 0, 4.0), (0, 1, 1.0), (1, 1, 0.0), (2, 1, 1.0), (3, 2, 9.0), (3, 0, 9.0)]
    codes = SparseCodes(
        np.arange(7),
        np.array([latent for _, latent, _ in rows], np.uint16),
        np.array([value for _, _, value in rows], np.float32),
        *(np.array([doc for doc, _, _ in rows], np.int32) for _ in range(2)),
        np.zeros(6, np.int32),
        np.zeros(6, np.int32),
        3,
    )
    found = belonging(codes, documents, depth=2, share=0.5)
    assert found.latents.tolist() == [0]
    assert found.classes.tolist() == [0]


def test_the_best_cut_of_a_perfect_tree_has_full_agreement_and_a_shuffled_one_little():
    points = np.repeat(np.eye(6), 8, axis=0) * 10 + np.random.default_rng(0).normal(size=(48, 6))
    tree = FeatureTree(linkage(points, "average"), np.arange(48))
    truth = Belonging(np.arange(48), np.repeat(np.arange(6), 8))
    assert best_ami(tree, truth) == pytest.approx(1.0)
    assert best_ami(tree.shuffled(np.random.default_rng(0)), truth) < 0.3


def test_the_best_cut_is_scikit_learns_ami_at_its_best():
    rng = np.random.default_rng(1)
    tree = FeatureTree(linkage(rng.normal(size=(50, 3)), "average"), np.arange(50))
    truth = Belonging(np.arange(0, 50, 2), rng.integers(0, 4, 25))
    cuts = [tree.labels(1 - height)[truth.latents] for height in np.sort(tree.linkage[:, 2])[: 50 - 4]]
    assert best_ami(tree, truth) == pytest.approx(
        max(0.0, *(adjusted_mutual_info_score(truth.classes, labels) for labels in cuts))
    )


def test_too_few_features_have_no_ami():
    tree = FeatureTree(linkage(np.random.default_rng(1).normal(size=(50, 3)), "average"), np.arange(50))
    enough = Belonging(np.arange(FEWEST), np.arange(FEWEST) % 3)
    assert best_ami(tree, enough) is not None
    assert best_ami(tree, Belonging(enough.latents[1:], enough.classes[1:])) is None
    outside = Belonging(np.arange(100, 130), np.arange(30) % 3)
    assert len(outside.inside(tree).latents) == 0 and best_ami(tree, outside) is None


def test_edges_of_the_cuts_by_hand():
    """Two domains a and b; the group of b is split as the truth is, that of a holds a stranger."""
    places = {0: ("a",), 1: ("a", "x"), 2: ("a",), 3: ("b", "z"), 4: ("b",), 5: ("b",), 6: ("b", "y"), 7: ("b", "y")}
    cuts = [
        [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7, 8, 9, 10])],
        [np.array([0, 2]), np.array([1]), np.array([3]), np.array([4, 5]), np.array([6, 7, 8]), np.array([9, 10])],
    ]
    # a -> x right, a -> z wrong, b -> y right; true edges end at x, y and z; 8 to 10 belong nowhere
    assert edge_scores(cuts, places) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert edge_scores(cuts, {}) == (0, 0, 0)


def test_a_latent_is_placed_at_the_deepest_class_it_belongs_to():
    documents = [{"path": [*"axp"], "kind": "profile"}, {"path": [*"axq"], "kind": "profile"}]
    documents += [{"path": [*"ayp"], "kind": "profile"}, {"path": [*"ayq"], "kind": "profile"}]
    documents += [{"path": [*"bxp"], "kind": "profile"}, {"path": [], "kind": "story"}]
    value = np.array([[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]], np.float32)
    rows, index = value.nonzero()
    numbers = np.arange(6, dtype=np.int32)
    indptr = np.searchsorted(rows, np.arange(7))
    codes = SparseCodes(indptr, index.astype(np.uint16), value[rows, index], numbers, numbers, numbers, numbers * 0, 3)
    assert places_of(codes, documents) == {0: ("a", "x", "p"), 1: ("a",)}


def held_out(present: np.ndarray) -> Firing:
    return Firing([{"path": []}] * len(present), np.ones(len(present)), csr_array(present), csr_array(present))


def test_groups_that_fire_together_are_coherent_and_random_ones_are_not():
    rng = np.random.default_rng(0)
    topic = rng.random((200, 8)) < 0.3
    present = np.repeat(topic, 5, axis=1) & (rng.random((200, 40)) < 0.9)
    groups = [np.arange(5 * g, 5 * g + 5) for g in range(8)]
    lift = firing_lift(groups, held_out(present.astype(float)), seed=0)
    assert lift.gain.mean() > 0.6 and lift.group.tolist() == list(range(8))
    expected = [np.corrcoef(present[:, group].T)[np.triu_indices(5, 1)].mean() for group in groups]
    assert lift.own == pytest.approx(expected)
    mixed = [np.arange(g, 40, 8) for g in range(8)]
    assert abs(firing_lift(mixed, held_out(present.astype(float)), seed=0).gain.mean()) < 0.15


def test_single_latents_and_latents_that_tell_nothing_have_no_coherence():
    assert len(firing_lift([np.array([0]), np.array([1])], held_out(np.eye(4)), seed=0).group) == 0
    always = np.ones((4, 3))
    assert len(firing_lift([np.array([0, 1])], held_out(always), seed=0).group) == 0


def test_decoders_of_a_group_that_point_one_way():
    rng = np.random.default_rng(0)
    ways = np.repeat(rng.normal(size=(10, 16)), 4, axis=0) + 0.1 * rng.normal(size=(40, 16))
    groups = [np.arange(4 * g, 4 * g + 4) for g in range(10)]
    lift = decoder_lift(groups, ways, np.ones(40), seed=0)
    unit = ways / np.linalg.norm(ways, axis=1, keepdims=True)
    expected = [(unit[group] @ unit[group].T)[np.triu_indices(4, 1)].mean() for group in groups]
    assert lift.own == pytest.approx(expected)
    assert lift.gain.min() > 0.6 and np.abs(lift.random).max() < 0.4


def test_the_error_over_halves_is_that_of_a_mean():
    values = np.random.default_rng(0).random(400)
    error = half_sample_error(lambda items: np.array([values[items].mean(), 1.0]), 400, seed=0)
    assert error == pytest.approx([values.std() / 20, 0], rel=0.4)


def test_a_cut_is_read_off_where_groups_hold_several_features_of_a_class():
    tree = FeatureTree(np.array([[0, 1, 0.1, 2], [2, 3, 0.1, 2], [4, 5, 0.6, 4]]), np.arange(4))
    truth = Belonging(np.arange(4), np.array([0, 0, 1, 1]))
    assert cut_truth(tree, truth, 0.5) is None, "four features are too few"
    big = FeatureTree(linkage(np.repeat(np.arange(10.0), 3)[:, None] + 0.01 * np.arange(30)[:, None]), np.arange(30))
    found = cut_truth(big, Belonging(np.arange(0, 29), np.repeat(np.arange(10), 3)[:29]), 0.9)
    assert purity(*found) == 1 and len(found.groups) == 29
