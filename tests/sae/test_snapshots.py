"""Correlation of the codes while training, the tree it gives, its stability, and the penalty by its groups."""

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from pipeline.sae.snapshots import (
    CodeStatistics,
    TreePenalty,
    agreement,
    cuts_of,
    describe,
    last_snapshot,
    tree_of,
    write_snapshot,
)
from pipeline.sae.sparse.products import Pattern, find_pattern
from pipeline.tree.feature_tree import FeatureTree


def sparse(codes: np.ndarray, prefixes: tuple[int, ...] | None = None) -> tuple[Pattern, torch.Tensor]:
    dense = torch.from_numpy(codes).float()
    flat = dense.flatten().nonzero().squeeze(1)
    return find_pattern(flat, *dense.shape, prefixes or (dense.shape[1],)), dense.flatten()[flat]


def related_codes(rows: int, seed: int) -> np.ndarray:
    """Twelve latents in three groups of four that fire together more often than not."""
    rng = np.random.default_rng(seed)
    topic = rng.random((rows, 3)) < 0.2
    fires = np.repeat(topic, 4, axis=1) & (rng.random((rows, 12)) < 0.8)
    return (fires * rng.uniform(0.5, 1.5, (rows, 12))).astype(np.float32)


def statistics_of(codes: np.ndarray, batch: int = 50) -> CodeStatistics:
    statistics = CodeStatistics(codes.shape[1])
    for start in range(0, len(codes), batch):
        part = codes[start : start + batch]
        statistics.add(*sparse(part), len(part))
    return statistics


@pytest.mark.parametrize("batch", [1, 60, 500])
def test_correlation_is_numpy_s_whatever_the_batches(batch):
    codes = related_codes(500, seed=0)
    ours = statistics_of(codes, batch).correlation(np.arange(12))
    np.testing.assert_allclose(ours, np.corrcoef(codes.T.astype(np.float64)), atol=1e-10)


def test_nested_prefixes_give_the_same_statistics():
    codes = related_codes(100, seed=0)
    nested = CodeStatistics(12)
    nested.add(*sparse(codes, prefixes=(3, 6, 12)), 100)
    plain = statistics_of(codes)
    np.testing.assert_allclose(nested.correlation(np.arange(12)), plain.correlation(np.arange(12)))


def test_latents_that_hardly_vary_stay_outside_the_tree():
    codes = related_codes(500, seed=0)
    codes[:, 3] = 0
    codes[:5, 4] = 1
    codes[5:, 4] = 0
    codes[:, 5] = 1
    assert tree_of(statistics_of(codes)).latents.tolist() == [0, 1, 2, 6, 7, 8, 9, 10, 11]


def test_no_tree_without_two_latents_that_fire():
    assert tree_of(statistics_of(np.zeros((10, 12), np.float32))) is None


def test_the_tree_is_scipy_s_average_linkage_and_finds_the_groups():
    codes = related_codes(2000, seed=0)
    tree = tree_of(statistics_of(codes))
    distance = 1 - np.corrcoef(codes.T.astype(np.float64))
    expected = linkage(squareform(distance, checks=False), "average")
    np.testing.assert_allclose(tree.linkage[:, 2], expected[:, 2], atol=1e-9)
    groups = {frozenset(map(int, group)) for group in tree.cut(0.4)}
    assert groups == {frozenset(range(start, start + 4)) for start in (0, 4, 8)}


def test_a_tree_agrees_with_itself_and_not_with_its_shuffle():
    tree = tree_of(statistics_of(related_codes(2000, seed=0)))
    again = tree_of(statistics_of(related_codes(2000, seed=1)))
    other = agreement(tree, again, [0.4])
    assert other.ari == [1.0] and other.ami == [pytest.approx(1.0)] and other.cophenetic > 0.95
    shuffled = agreement(tree, tree.shuffled(np.random.default_rng(0)), [0.4])
    assert shuffled.ari[0] < 0.3 and shuffled.cophenetic < 0.3


def test_a_cut_at_which_nothing_is_grouped_has_no_agreement():
    tree = FeatureTree(np.array([[0, 1, 0.9, 2.0], [2, 3, 0.95, 3.0]]), np.arange(3))
    assert agreement(tree, tree, [0.5]).ari == [None]


def test_a_snapshot_is_found_again_unless_it_is_from_undone_steps(tmp_path):
    tree = tree_of(statistics_of(related_codes(2000, seed=0)))
    write_snapshot(tmp_path, 100, tree)
    write_snapshot(tmp_path, 200, tree)
    assert last_snapshot(tmp_path, 99) is None
    assert np.array_equal(last_snapshot(tmp_path, 150).linkage, tree.linkage)


def test_what_is_said_of_a_tree_that_did_not_change():
    tree = tree_of(statistics_of(related_codes(2000, seed=0)))
    said = describe(tree, tree, 200, 0.6, 3)
    assert [cut["correlation"] for cut in said["cuts"]] == [0.2, 0.4, 0.6]
    assert [cut["ari"] for cut in said["cuts"]] == pytest.approx([1, 1, 1])
    assert abs(said["cophenetic_null"]) < 0.5


def test_penalty_by_hand():
    """Row [3, 4, 0, 2], groups {0, 1}, {3}: sqrt(9 + 16) + 2 = 7; at the other cut all in one: sqrt(29)."""
    pattern, value = sparse(np.array([[3.0, 4.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    cuts = [[np.array([0, 1, 2, 3])], [np.array([0, 1])]]
    loss, gradient = TreePenalty(cuts, 4, weight=0.5, device="cpu")(pattern, value, 2)
    assert float(loss) == pytest.approx(0.5 * (7 + 29**0.5) / 2)
    expected = 0.25 * (value / 29**0.5 + torch.tensor([0.6, 0.8, 1.0]))
    torch.testing.assert_close(gradient, expected)


def test_penalty_gradient_is_autograd_s():
    codes = related_codes(40, seed=0)
    tree = tree_of(statistics_of(related_codes(2000, seed=1)))
    cuts = cuts_of(tree, 0.9, 3)
    pattern, value = sparse(codes)
    loss, gradient = TreePenalty(cuts, 12, weight=0.3, device="cpu")(pattern, value, 40)
    dense = torch.from_numpy(codes).double().requires_grad_()
    norms = [dense[:, torch.from_numpy(g)].square().sum(1).clamp(min=1e-30).sqrt() for cut in cuts for g in cut]
    reference = 0.3 * torch.stack(norms).sum(0).mean()
    reference.backward()
    assert float(loss) == pytest.approx(reference.item(), rel=1e-6)
    theirs = dense.grad[pattern.row, pattern.latent]
    assert float((gradient - theirs).norm() / theirs.norm()) < 1e-6


def test_relatives_are_cheaper_than_strangers():
    pattern, value = sparse(np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]]))
    penalty = TreePenalty([[np.array([0, 1]), np.array([2, 3])]], 4, weight=1.0, device="cpu")
    assert float(penalty(pattern, value, 1)[0]) == pytest.approx(2**0.5 + 2)
