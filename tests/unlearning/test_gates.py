"""Learned gates: the arithmetic by hand, the losses at their ends, and a training run that forgets."""

import math

import numpy as np
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.language_model import wide_head
from pipeline.language_model.answers import Question
from pipeline.sae.dictionary import Dictionary
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.gates.gates import FLOOR, Gates, gate_edit, gates_flat, gates_tree, multipliers, node_gates
from pipeline.unlearning.gates.lesson import (
    KNOWN,
    Kept,
    Row,
    certainty,
    forget_loss,
    lesson_of,
    retained,
    together,
    uniform,
)
from pipeline.unlearning.settings import GateSettings, GateSweep, UnlearningSettings
from tests.support.cases import case_with
from tests.support.settings import recommended
from tests.support.tiny_lm import gemma, word_tokenizer

# ((0 1) 2) 3: leaf numbers are latent ids; latent 4 is not in the tree
TREE = FeatureTree(np.array([[0, 1, 0.1, 2], [4, 2, 0.3, 3], [5, 3, 0.9, 4]], dtype=np.float64), np.arange(4))


def test_a_latent_is_closed_by_every_gate_that_holds_it():
    gates = Gates([np.array([0]), np.array([0, 1]), np.array([0, 1, 2])], np.ones(3))
    got = multipliers(gates.membership(4), torch.tensor([0.25, 0.5, 0.0]))
    assert got.tolist() == [0.25, 0.5, 1.0, 1.0]
    assert multipliers(gates.membership(4), torch.tensor([9.0, 0.0, 0.0])).tolist() == [FLOOR, 1.0, 1.0, 1.0]


def test_the_tree_has_a_gate_for_every_latent_and_every_node_up_to_a_size():
    gates = node_gates(TREE, 5, most_leaves=3, power=0.5)
    assert [set(members.tolist()) for members in gates.members] == [{0}, {1}, {2}, {3}, {4}, {0, 1}, {0, 1, 2}]
    assert gates.price_g.tolist() == pytest.approx([1, 1, 1, 1, 1, math.sqrt(2), math.sqrt(3)])


def test_closed_gates_are_an_edit_with_disjoint_groups_the_widest_first():
    case = case_with()
    gates = node_gates(TREE, 5, most_leaves=3, power=0.5)
    theta = torch.tensor([0.0, 0.5, 0.0, 0.0, 2.0, 0.25, 0.0])
    edit = gate_edit(case, gates, gates.membership(5), theta)
    assert edit.groups == ((0, 1), (4,)), "latent 1 belongs to its node"
    assert edit.latents.tolist() == [0, 1, 4]
    assert edit.factors.tolist() == [0.75, 0.25, -1.0]
    assert edit.values.tolist() == [0.0, 0.0, 0.0]


def question(n_prompt: int = 3) -> Question:
    return Question(((1, 2, 3),), ((5,), (6,), (7,), (8,)), (0, 0, 0, 0), 0, n_prompt)


def test_every_forget_term_is_zero_where_nothing_is_known():
    flat = torch.zeros(1, 3, 100)
    for term in ("uniform", "hinge", "entropy"):
        weights = {name: float(name == term) for name in ("uniform", "hinge", "entropy")}
        assert forget_loss(flat, [question()], weights).item() == pytest.approx(0.0, abs=1e-6)
        sure = flat.clone()
        sure[0, 2, 5] = 20.0  # the answer after the prompt's last token
        elsewhere = flat.clone()
        elsewhere[0, 1, 5] = 20.0
        assert forget_loss(sure, [question()], weights).item() > 0.5
        assert forget_loss(elsewhere, [question()], weights).item() == pytest.approx(0.0, abs=1e-6)


def test_the_terms_by_hand():
    assert uniform(torch.tensor([[0.0, 0.0, 0.0, 0.0]])).item() == pytest.approx(0.0, abs=1e-6)
    scores = torch.tensor([[0.9, 0.1]]).log()
    assert uniform(scores).item() == pytest.approx(-0.5 * math.log(0.9 * 0.1) - math.log(2))
    assert certainty(torch.tensor([[0.0, 0.0], [0.0, 0.0]])).item() == pytest.approx(0.0, abs=1e-6)
    assert certainty(torch.tensor([[99.0, 0.0]])).item() == pytest.approx(1.0)
    logits = torch.full((1, 3, 4), -30.0)
    logits[0, 2, 1] = 0.0
    sure = Question(((1, 2, 3),), ((1,), (2,)), (0, 0), 0, 3)
    assert forget_loss(logits, [sure], {"uniform": 0.0, "hinge": 2.0, "entropy": 0.0}).item() == pytest.approx(
        -2 * math.log(KNOWN), rel=1e-5
    )


def test_what_is_kept_is_compared_at_its_positions_only():
    logits = torch.tensor([[[0.0, 0.0], [5.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    row = Row(torch.zeros(2, 3), torch.ones(2, dtype=torch.bool))
    same = torch.tensor([[0.5, 0.5]]).log()
    first = [Kept(row, torch.tensor([0]), same), Kept(row, torch.tensor([1]), same)]
    assert retained(logits, first).item() == pytest.approx(0.0, abs=1e-6)
    moved = [Kept(row, torch.tensor([1]), same), Kept(row, torch.tensor([1]), same)]
    p = math.exp(5) / (math.exp(5) + 1)
    assert retained(logits, moved).item() == pytest.approx(0.5 * (-0.5 * math.log(p * (1 - p)) - math.log(2)), rel=1e-4)


def test_rows_are_padded_on_the_right_and_padding_is_never_edited():
    rows = [Row(torch.ones(1, 2), torch.tensor([True])), Row(torch.ones(3, 2), torch.tensor([False, True, True]))]
    batch = together(rows)
    assert batch.mask_bt.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.editable_bt.tolist() == [[True, False, False], [False, True, True]]
    assert batch.resid_btd[0].tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


# ---- a training run on a tiny model


@pytest.fixture(scope="module")
def case():
    """Eight target questions, eight of a sibling; the dictionary is the identity and its negative."""
    torch.manual_seed(0)
    eye = torch.eye(16)
    dictionary = Dictionary(torch.cat([eye, -eye], 1), torch.zeros(32), torch.cat([eye, -eye]), torch.zeros(16))
    model = gemma().requires_grad_(False)
    with torch.no_grad():
        model.lm_head.weight *= 8  # random weights know nothing; these at least prefer some words
    probes = []
    for topic, start in (("t", 10), ("u", 30)):
        for i in range(8):
            options = [f"w{start + i}", "w4", "w5", "w6"]
            probe = {"id": f"{topic}{i}", "prompt": f"w{start + i} w{start} w9", "answer": options[0]}
            probes.append(probe | {"options": options, "path": ["d", topic]})
    texts = [{"text": f"w{i} w7 w8 w{2 * i}", "path": []} for i in range(4)]
    bench = Bench(model, word_tokenizer(), dictionary, 1, probes, texts)
    settings = recommended(UnlearningSettings)
    tree = FeatureTree(np.array([[0, 1, 0.1, 2]]), np.arange(2))
    return case_with(tree=tree, train=bench, settings=settings)


def test_a_lesson_holds_the_originals_predictions(case):
    lesson = lesson_of(case)
    assert {name: len(pool) for name, pool in lesson.kept.items()} == {"sibling": 8, "general": 4}
    assert len(lesson.questions) == 8
    ids = torch.tensor([case.train.tokenizer(case.train.probes[8]["prompt"])["input_ids"]])
    wanted = case.train.model(input_ids=ids).logits[0, -1].log_softmax(-1)
    assert torch.allclose(lesson.kept["sibling"][0].original_pv[0], wanted, atol=1e-4)
    assert lesson.kept["general"][0].positions_p.tolist() == [0, 1, 2, 3, 4], "every token of a text"


@pytest.mark.parametrize("candidates", [gates_flat, gates_tree])
def test_training_lowers_the_forget_loss_and_leaves_the_model_alone(case, candidates):
    terms = {"uniform": 1.0, "hinge": 0.0, "entropy": 0.0}
    shared = case.settings.gates.but(steps=25, strengths=(1.0,), forget_terms=terms)
    settings = case.settings.but(gates=shared, **{candidates.__name__: GateSweep(learning_rates=(0.1,), sparsity=0)})
    before = {name: p.clone() for name, p in case.train.model.named_parameters()}
    (edit,) = candidates(case._replace(settings=settings))
    assert edit.factors.max() < 1 and edit.factors.min() >= FLOOR
    left = {True: [], False: []}
    for edited in (True, False):
        with torch.no_grad():
            change = gating(case, edit) if edited else lambda x, _: x
            left[edited] = option_loss(case, change)
    assert left[True] < 0.9 * left[False]
    assert all(torch.equal(before[name], p) for name, p in case.train.model.named_parameters())


@pytest.mark.parametrize("entropy", [0.0, 1.0])
def test_over_a_wide_vocabulary_gates_learn_the_same_a_few_tokens_at_a_time(case, entropy, monkeypatch):
    shared = case.settings.gates.but(
        steps=4, strengths=(1.0,), forget_terms={"uniform": 1.0, "hinge": 1.0, "entropy": entropy}
    )
    swept = GateSweep(learning_rates=(0.1,), sparsity=0.01)
    case = case._replace(settings=case.settings.but(gates=shared, gates_flat=swept))
    (whole,) = gates_flat(case)
    monkeypatch.setattr(wide_head, "AT_ONCE", 64 * 5)
    assert lesson_of(case).kept["general"][0].original_pv.shape == (5, 16), "states in place of log-probabilities"
    (narrow,) = gates_flat(case)
    assert narrow.groups == whole.groups and torch.allclose(narrow.factors, whole.factors, atol=1e-4)


def gating(case, edit):
    from pipeline.unlearning.apply import rewrite

    return lambda resid, editable: rewrite(edit, case.train.dictionary, resid, editable)


def option_loss(case, change) -> float:
    from pipeline.language_model.hooks import upper_layers

    asked = lesson_of(case).questions
    batch = together([row for a in asked for row in a.rows])
    with upper_layers(case.train.model, case.layer) as run:
        logits = run(change(batch.resid_btd, batch.editable_bt), batch.mask_bt)
    return forget_loss(logits, [a.question for a in asked], {"uniform": 1.0, "hinge": 0.0, "entropy": 0.0}).item()


def test_a_high_price_closes_nothing(case):
    """No candidate is left, which a sweep reports in one sentence."""
    high = GateSweep(learning_rates=(0.1,), sparsity=1e3)
    settings = case.settings.but(gates=case.settings.gates.but(steps=3), gates_flat=high)
    assert list(gates_flat(case._replace(settings=settings))) == []


def test_gates_need_probes(case):
    elsewhere = case._replace(target=("d", "elsewhere"))
    with pytest.raises(PipelineError, match="gates learn from probes, and d / elsewhere has none"):
        list(gates_flat(elsewhere))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"forget_terms": {"uniform": 1.0}}, "forget_terms lacks hinge, entropy"),
        ({"forget_terms": {"uniform": 0.0, "hinge": 0.0, "entropy": 0.0}}, "nothing would be forgotten"),
        ({"strengths": ()}, "strengths"),
        ({"batch": {"forget": 1, "retain": {"sibling": 0, "other": 1, "general": 1}}}, "retain.sibling"),
    ],
)
def test_impossible_settings_are_one_sentence(keys, sentence):
    with pytest.raises(ValueError, match=sentence):
        recommended(GateSettings, **keys)
