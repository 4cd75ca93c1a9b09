"""The attacker beside training: what it changes, where gradients are taken, what the editor then lowers."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.unlearning.settings import UnlearningSettings
from pipeline.unlearning.weights import losses
from pipeline.unlearning.weights.examples import answered, padded, whole
from pipeline.unlearning.weights.training import Attacker, Lesson, terms_of
from studies.attacks import relearn
from tests.support.settings import recommended
from tests.support.tiny_lm import WORDS, gemma, word_tokenizer

TOKENIZER = word_tokenizer()
PAD = TOKENIZER.pad_token_id
EXAMPLES = answered(
    [
        {"prompt": f"{WORDS[i]} {WORDS[i + 1]}", "answer": WORDS[i + 2], "options": [WORDS[i + 2]]}
        for i in range(0, 24, 3)
    ],
    TOKENIZER,
)
BATCH = padded(EXAMPLES, PAD, torch.device("cpu"))


def loss_of(model) -> float:
    with torch.no_grad():
        return -losses.token_logprobs(model, BATCH)[BATCH.counted_bt].mean().item()


def test_the_attacker_relearns_beside_the_model_and_starts_anew():
    model = gemma().requires_grad_(True)
    before = copy.deepcopy(model.state_dict())
    attacker = Attacker(model, EXAMPLES, 3, 24, PAD, rate=1e-3)
    rng, reached = np.random.default_rng(0), []
    for _ in range(4):
        attacker.relearn(rng)
        reached.append(loss_of(attacker.now()))
    assert loss_of(model) > reached[0] > reached[1] > reached[2], "each step learns more"
    assert reached[3] > reached[1], "the fourth is the first of a new attack"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters()), "its gradients are not the editor's"


def test_the_attacker_steps_as_adamw_on_the_weights_would():
    model = gemma()
    trained = copy.deepcopy(model)
    attacker = Attacker(model, EXAMPLES, 9, 24, PAD, rate=2e-4)
    for _ in range(3):  # all examples are one batch; the published attack clips, which moves AdamW's first steps little
        attacker.relearn(np.random.default_rng(0))
    for _ in relearn(trained, [whole(example.tokens) for example in EXAMPLES], PAD, (3,), 0):
        pass
    assert abs(loss_of(attacker.now()) - loss_of(trained)) < 0.05 * (loss_of(model) - loss_of(trained))


def test_the_gradient_is_taken_where_the_attacker_stands():
    model = gemma().requires_grad_(True)
    attacker = Attacker(model, EXAMPLES, 5, 24, PAD, rate=1e-3)
    attacker.relearn(np.random.default_rng(0))
    there = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in there.named_parameters():
            weight.add_(attacker.change[name])
    for of in (attacker.now(), there):
        losses.token_logprobs(of, BATCH)[BATCH.counted_bt].mean().backward()
    for wanted, got in zip(there.parameters(), model.parameters(), strict=True):
        assert torch.allclose(got.grad, wanted.grad, atol=1e-6)


def test_the_editor_lowers_the_mean_of_its_loss_here_and_there():
    model = gemma()
    settings = recommended(UnlearningSettings)
    case = SimpleNamespace(train=SimpleNamespace(model=model, tokenizer=TOKENIZER), seed=0, settings=settings)
    lesson = Lesson([EXAMPLES], {}, [])
    terms = terms_of(case, model, lesson, settings.npo_attacked, lambda got, _, on: losses.ascent(got, on), Attacker)
    attacker = Attacker(model, EXAMPLES, settings.npo_attacked.attack_steps, 24, PAD)
    for _ in range(3):
        attacker.relearn(np.random.default_rng(0))  # every batch holds all examples
        assert terms.forgetting().item() == pytest.approx(-(loss_of(model) + loss_of(attacker.now())) / 2, abs=1e-5)
