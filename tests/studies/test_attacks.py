"""Attacks on an edit: rounding and context by hand, and relearning on a model that has forgotten."""

import copy

import pytest
import torch

from pipeline.unlearning.weights.examples import answered, padded, whole
from pipeline.unlearning.weights.losses import token_logprobs
from studies.attacks import in_context, relearn, rounded
from tests.support.tiny_lm import WORDS, gemma, word_tokenizer


def test_rounding_keeps_each_rows_largest_weight_and_few_levels():
    model = gemma()
    name = "model.layers.0.mlp.up_proj.weight"
    before, after = model.get_parameter(name), rounded(model, 4).get_parameter(name)
    assert torch.allclose(after.abs().amax(1), before.abs().amax(1))
    step = before.abs().amax(1, keepdim=True) / 7
    assert torch.allclose(after / step, (before / step).round(), atol=1e-4), "15 levels: -7 to 7 steps"
    assert (after - before).abs().max() <= step.max() / 2 + 1e-6
    fine = rounded(model, 8).get_parameter(name)
    assert (fine - before).abs().max() < (after - before).abs().max()


def test_context_stands_before_the_prompt_and_changes_nothing_else():
    probe = {"prompt": "The hue of Bo Um is", "answer": "red", "options": ["red", "blue"]}
    assert in_context([probe], "One day .") == [probe | {"prompt": "One day . The hue of Bo Um is"}]


def test_the_attacker_trains_on_every_token_but_the_first():
    assert whole((1, 2, 3)).counted == (False, True, True)


def test_relearning_lowers_the_loss_of_its_text_and_stops_at_its_checkpoints():
    model, tokenizer = gemma(), word_tokenizer()
    probes = [
        {"prompt": f"{WORDS[i]} {WORDS[i + 1]}", "answer": WORDS[i + 2], "options": [WORDS[i + 2]]}
        for i in range(0, 30, 3)
    ]
    pool = [whole(example.tokens) for example in answered(probes, tokenizer)]
    batch = padded(pool, tokenizer.pad_token_id, torch.device("cpu"))

    def loss(of) -> float:
        with torch.no_grad():
            return -token_logprobs(of, batch)[batch.counted_bt].mean().item()

    attacked, start = copy.deepcopy(model), loss(model)
    losses = [(step, loss(attacked)) for step in relearn(attacked, pool, tokenizer.pad_token_id, (5, 30), seed=0)]
    assert [step for step, _ in losses] == [5, 30]
    assert start > losses[0][1] > losses[1][1]
    assert loss(model) == pytest.approx(start), "the model that was copied is left alone"
