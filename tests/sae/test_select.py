"""Selection takes exactly the largest entries, whatever the cut of the step before was."""

import pytest
import torch

from pipeline.sae.dictionary import Weights
from pipeline.sae.rules.relu import JumpReLU
from pipeline.sae.rules.select import largest
from pipeline.sae.rules.topk import BatchTopK
from pipeline.sae.sparse.products import find_pattern

PRE = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("likely_cut", [0.0, 0.5, 1.4, 1.5, 100.0], ids=["none", "low", "right", "high", "absurd"])
def test_the_same_entries_as_topk(likely_cut):
    flat, value, cut = largest(PRE, 150, likely_cut)
    assert torch.equal(value, PRE.flatten()[flat])
    expected = PRE.flatten().topk(150)
    assert sorted(flat.tolist()) == flat.tolist() == sorted(expected.indices.tolist())
    assert cut == pytest.approx(float(expected.values[-1]))


def test_fewer_positive_entries_than_asked_for_are_all_taken():
    flat, value, cut = largest(torch.tensor([[-1.0, 2.0], [3.0, 0.0]]), 4, likely_cut=2.5)
    assert (flat.tolist(), value.tolist(), cut) == ([1, 2], [2.0, 3.0], 2.0)


def test_nothing_positive_is_an_empty_selection():
    flat, value, cut = largest(torch.zeros(2, 3), 2, likely_cut=0.0)
    assert (flat.tolist(), value.tolist(), cut) == ([], [], 0.0)


def test_entries_that_tie_with_the_cut_are_all_taken():
    assert largest(torch.tensor([[1.0, 2.0, 2.0, 2.0]]), 2, likely_cut=0.0)[0].tolist() == [1, 2, 3]


def test_a_batch_in_which_nothing_fires_gives_an_empty_pattern():
    pattern = find_pattern(torch.empty(0, dtype=torch.int64), 3, 5, (5,))
    assert pattern.offsets.tolist() == [0, 0, 0, 0] and pattern.latent_offsets.tolist() == [0] * 6


def test_bags_follow_the_prefixes():
    pattern = find_pattern(torch.tensor([0, 3, 4, 6, 9]), 2, 5, (1, 4, 5))
    assert pattern.row.tolist() == [0, 0, 0, 1, 1]
    assert pattern.latent.tolist() == [0, 3, 4, 1, 4]
    assert pattern.bag.tolist() == [0, 1, 2, 4, 5]
    assert pattern.by_latent.tolist() == [0, 3, 1, 2, 4]


def test_batch_topk_s_threshold_follows_the_cuts():
    rule = BatchTopK(1, (2,))
    weights = Weights(torch.zeros(3), 2, seed=0)
    for size in (1.0, 2.0, 2.0):
        rule.fire(torch.tensor([[size, 0.0]]), weights)
    assert rule.inference(weights)[0].tolist() == pytest.approx([2 - 0.95**2] * 2)


def test_jump_relu_begins_with_k_latents_a_row():
    weights = Weights(torch.zeros(3), 40, seed=0)
    flat, value = JumpReLU(k=3, weight=1.0, bandwidth=1e-4, d_sae=40).fire(PRE, weights)
    assert int((value > 0).sum()) == 3 * 50 - 1  # the entry at the cut itself is not above it
    assert flat.tolist() == sorted(flat.tolist())
