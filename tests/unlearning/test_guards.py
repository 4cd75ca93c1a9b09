"""Guards on latents and on nodes, the fixed vector behind one, ways of clamping, and the shuffled control."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from pipeline.sae.dictionary import Dictionary
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.apply import fires
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.clamps import subtree
from pipeline.unlearning.clamps.ways import ways
from pipeline.unlearning.controls import look_alikes, shuffled_tree
from pipeline.unlearning.firing import Firing, count_firing
from pipeline.unlearning.guards import difference_of_means, fixed_vector, guard_flat, guard_tree, set_basis
from pipeline.unlearning.settings import UnlearningSettings
from tests.support.cases import case_with
from tests.support.settings import recommended
from tests.support.tiny_lm import gemma, word_tokenizer

TARGET = ("d", "t")


def test_a_set_is_felt_as_the_sum_of_its_latents_over_the_root_of_its_size():
    basis = set_basis([np.array([0]), np.array([1, 2, 3, 0])], 5).toarray()
    assert basis.tolist() == [[1.0, 0.5], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5], [0.0, 0.0]]


@pytest.fixture(scope="module")
def case():
    """Prompts on the target name w10 to w17, the sibling's w30 to w37; a dictionary of random features."""
    torch.manual_seed(0)
    dictionary = Dictionary(torch.randn(16, 64), torch.zeros(64), torch.randn(64, 16), torch.zeros(16))
    model, tokenizer = gemma().requires_grad_(False), word_tokenizer()
    probes, texts = [], []
    for topic, start in (("t", 10), ("u", 30)):
        for i in range(8):
            name = f"w{start + i}"
            probe = {"id": name, "prompt": f"w1 {name} w{start} w9", "answer": "w3"}
            probes.append(probe | {"options": ["w3", "w4", "w5", "w6"], "path": ["d", topic]})
            texts.append({"text": f"{name} w{start} w7", "path": ["d", topic]})
    texts += [{"text": f"w{i} w7 w8", "path": []} for i in range(40, 48)]
    bench = Bench(model, tokenizer, dictionary, 1, probes, texts)
    firing = count_firing(bench)
    similarity = np.column_stack([np.arange(0, 126, 2), np.arange(1, 127, 2)])
    pairs = [[2 * k, 2 * k + 1, 0.1, 2] for k in range(32)]
    chain = [[64, 65, 0.5, 4]] + [[96 + k, 66 + k, 0.6 + k / 1000, 6 + 2 * k] for k in range(30)]
    assert similarity.shape == (63, 2)
    tree = FeatureTree(np.array(pairs + chain, dtype=np.float64), np.arange(64))
    settings = recommended(UnlearningSettings, guard_multipliers=(1.0,))
    return case_with(target=TARGET, tree=tree, firing=firing, train=bench, dev=bench, settings=settings)


@pytest.mark.parametrize("candidates", [guard_flat, guard_tree])
def test_a_guard_fires_on_the_target_and_lets_the_rest_pass(case, candidates):
    (edit,) = candidates(case)
    bench, fired = case.train, {"t": [], "u": [], "": []}
    for i, (batch, resid) in enumerate(zip(bench.batches, bench.resid, strict=True)):
        at_bt = fires(edit.guard, bench.dictionary, resid, bench.editable(batch))
        items = bench.probes if i < len(bench.exam) else bench.texts
        for (item, _), at_t, mask_t in zip(batch.rows, at_bt, batch.mask_bt, strict=True):
            topic = items[item]["path"][1] if items[item]["path"] else ""
            fired[topic].append(bool(at_t[int(mask_t.sum()) - 1]))  # it is fitted on the ends of inputs
    assert np.mean(fired["t"]) > 0.8
    assert np.mean(fired["u"] + fired[""]) <= 1 / 24, "all but 0.5 %, of 24 inputs"


def test_the_guards_share_their_clamp_and_differ_in_what_they_look_at(case):
    (flat,), (tree,) = guard_flat(case), guard_tree(case)
    assert torch.equal(flat.latents, tree.latents) and torch.equal(flat.values, tree.values)
    pairs = tree.guard.weight_s.reshape(32, 2)
    assert torch.allclose(pairs[:, 0], pairs[:, 1], atol=1e-6), "every node holds both of a pair or neither"
    assert not torch.allclose(*flat.guard.weight_s.reshape(32, 2).T, atol=1e-6)


def test_the_vector_is_the_difference_of_means_without_special_tokens():
    x = torch.tensor([[[9.0, 9.0], [1.0, 0.0], [3.0, 0.0]], [[9.0, 9.0], [0.0, 4.0], [7.0, 7.0]]])
    editable = torch.tensor([[False, True, True], [False, True, False]])
    bench = SimpleNamespace(
        probes=[{"path": ["d", "t"]}, {"path": ["d", "u"]}],
        texts=[],
        exam=[0],
        batches=[SimpleNamespace(rows=[(0, 0), (1, 0)])],
        resid=[x],
        dictionary=SimpleNamespace(d_model=2),
        editable=lambda batch: editable,
    )
    bench.inputs = lambda target: Bench.inputs(bench, target)
    assert difference_of_means(bench, TARGET).tolist() == [2.0, -4.0]


def test_the_vector_acts_behind_the_flat_guard(case):
    first, second = list(fixed_vector(case))[:2]
    (flat,) = guard_flat(case)
    assert torch.equal(first.guard.weight_s, flat.guard.weight_s)
    assert not len(first.latents) and first.shift.shape == (16,)
    assert torch.allclose(
        second.shift, first.shift * case.settings.vector_multipliers[1] / case.settings.vector_multipliers[0]
    )
    assert first.shift @ difference_of_means(case.train, TARGET) < 0, "away from the target"


def test_random_groups_are_as_large_and_as_active_and_hold_nothing_twice():
    rates = np.arange(100.0)
    groups = [[50, 51, 52], [10], [90, 91]]
    by_rate = np.array([latent for latent in range(100) if latent not in {50, 51, 52, 10, 90, 91}])
    drawn = look_alikes(groups, by_rate, rates, np.random.default_rng(0), near=4)
    assert [len(group) for group in drawn] == [3, 1, 2]
    flat = [latent for group in drawn for latent in group]
    assert len(set(flat)) == 6 and set(flat) <= set(by_rate.tolist())
    assert all(abs(a - b) <= 8 for a, b in zip([50, 51, 52, 10, 90, 91], flat, strict=True))
    few = look_alikes(groups, by_rate[:4], rates, np.random.default_rng(0))
    assert [len(group) for group in few] == [3, 1, 0], "none is drawn a second time"


def test_ways_of_clamping_hold_zero_and_mean_ablation_as_controls():
    firing = Firing(
        [{"path": ["d", "t"]}, {"path": []}],
        np.array([4.0, 6.0]),
        csr_array(np.array([[2.0, 0.0], [0.0, 1.0]])),
        csr_array(np.array([[10.0, 0.0], [0.0, 3.0]])),
    )
    settings = recommended(UnlearningSettings, multipliers=(0.0, 2.0), mean_ablation=True)
    case = case_with(target=TARGET, firing=firing, settings=settings)
    edits = list(ways(case, [[1, 0]], {"budget": 2}))
    assert [edit.settings["multiplier"] for edit in edits] == [0.0, 2.0, "mean"]
    assert [edit.values.tolist() for edit in edits] == [[0.0, 0.0], [-6.0, -10.0], [pytest.approx(0.3), 1.0]]
    assert all(edit.groups == ((1, 0),) for edit in edits)


def test_the_shuffled_control_sweeps_as_subtree_does_on_other_groups(case):
    real, shuffled = list(subtree.candidates(case)), list(shuffled_tree(case))
    assert {edit.settings["budget"] for edit in shuffled} == {edit.settings["budget"] for edit in real}
    assert {edit.groups for edit in shuffled} != {edit.groups for edit in real}
    again = list(shuffled_tree(case))
    assert [edit.groups for edit in again] == [edit.groups for edit in shuffled], "the seed fixes the shuffle"
