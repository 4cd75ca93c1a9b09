"""A few tokens at a time gives what all at once gives: losses, divergences, answers, and their gradients."""

import numpy as np
import pytest
import torch

from pipeline.language_model import wide_head
from pipeline.language_model.answers import ask, tokenize
from pipeline.language_model.wide_head import Reweighted, pass_of
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.edit import clamped, no_edit
from pipeline.unlearning.weights import losses
from pipeline.unlearning.weights.examples import PROBE_TOKENS, answered, padded
from pipeline.unlearning.weights.examples import whole as whole_text
from tests.support.tiny_lm import WORDS, gemma, gemma3, gpt2, llama, neox, qwen, word_tokenizer

TOKENIZER = word_tokenizer()
PROBES = [
    {"prompt": " ".join(WORDS[i : i + 2 + i % 3]), "answer": WORDS[i + 5], "options": list(WORDS[i + 5 : i + 9])}
    for i in range(0, 24, 3)
]
PROBES += [p | {"answer": f"{p['answer']} w0", "options": [f"{o} w0" for o in p["options"]]} for p in PROBES[:3]]
PROBES = [probe | {"path": ["d", "t"]} for probe in PROBES]
TEXTS = [{"text": " ".join(WORDS[i : i + 5 + i % 4]), "path": []} for i in range(0, 20, 2)]
BATCH = padded(answered(PROBES, TOKENIZER), TOKENIZER.pad_token_id, torch.device("cpu"))


@pytest.fixture
def narrow(monkeypatch):
    """From now on seven tokens of the tiny models' 64 words at once."""
    return lambda: monkeypatch.setattr(wide_head, "AT_ONCE", 64 * 7 + 1)


def gradients(loss: torch.Tensor, model) -> list[torch.Tensor]:
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    return list(torch.autograd.grad(loss, parameters, allow_unused=True))


def everywhere(model, original) -> torch.Tensor:
    """Mean KL(original || model) over all positions, a few at a time."""
    made, before = (pass_of(of, BATCH.ids_bt, BATCH.mask_bt) for of in (model, original))
    return wide_head.divergences(made, before, BATCH.mask_bt.bool()).sum() / BATCH.mask_bt.sum()


def of_all(model, original) -> list[torch.Tensor]:
    """Every loss with its gradients."""
    questions = [tokenize(probe, TOKENIZER) for probe in PROBES]
    found = []
    for loss in (
        losses.token_logprobs(model, BATCH)[BATCH.counted_bt].mean(),
        everywhere(model, original),
        losses.indifference(losses.option_scores(model, questions, TOKENIZER.pad_token_id)),
    ):
        found += [loss, *gradients(loss, model)]
    return found


@pytest.mark.parametrize("build", [gemma, gemma3, gpt2, llama, neox, qwen])
def test_losses_and_their_gradients(build, narrow) -> None:
    model, original = build().requires_grad_(True), build().requires_grad_(False)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    whole = of_all(model, original)
    narrow()
    assert not pass_of(model, BATCH.ids_bt, BATCH.mask_bt).fits(BATCH.ids_bt.numel())
    for wanted, got in zip(whole, of_all(model, original), strict=True):
        assert (wanted is None) == (got is None)
        assert wanted is None or torch.allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_what_is_kept_is_compared_at_the_answers_and_one_place_more_of_each_row(narrow) -> None:
    model, original = gemma().requires_grad_(False), gemma().requires_grad_(False)
    for weight in model.parameters():
        weight.mul_(1.1)
    whole = losses.divergence(model, original, BATCH, np.random.default_rng(0))
    torch.testing.assert_close(whole, everywhere(model, original))
    narrow()
    where_bt = losses.some_places(BATCH, np.random.default_rng(0))
    assert bool((where_bt[:, :-1] | ~BATCH.counted_bt).all()) and not bool((where_bt & (BATCH.mask_bt == 0)).any())
    more = where_bt.sum(1) - BATCH.counted_bt.sum(1)
    assert set(more.tolist()) <= {0, 1} and 1 in more, "the place more may be one of the answer's"
    made, before = (pass_of(of, BATCH.ids_bt, BATCH.mask_bt) for of in (model, original))
    wanted = wide_head.divergences(made, before, where_bt).sum() / where_bt.sum()
    got = losses.divergence(model, original, BATCH, np.random.default_rng(0))
    torch.testing.assert_close(got, wanted)
    document = padded([whole_text(tuple(range(1, 41)))], TOKENIZER.pad_token_id, torch.device("cpu"))
    assert losses.some_places(document, np.random.default_rng(0)).sum() in (PROBE_TOKENS, PROBE_TOKENS + 1)


def test_answers(narrow) -> None:
    model = gemma().requires_grad_(False)
    whole = ask(model, TOKENIZER, PROBES)
    narrow()
    for wanted, got in zip(whole, ask(model, TOKENIZER, PROBES), strict=True):
        assert torch.allclose(got, wanted, atol=1e-6)


def test_a_bench_measures_and_compares(narrow) -> None:
    torch.manual_seed(0)
    model = gemma().requires_grad_(False)
    dictionary = Dictionary(torch.randn(16, 24), torch.zeros(24), torch.randn(24, 16), torch.zeros(16))
    bench = Bench(model, TOKENIZER, dictionary, 1, PROBES, TEXTS)
    clamp = clamped("", "topic", ("d", "t"), 1, [[0, 1], [2]], torch.ones(24), 1.0, {})
    name, weight = next((n, w) for n, w in model.named_parameters() if "down_proj" in n)
    tied, embedding = next(model.named_parameters())
    weights = {name: 2 * weight.detach(), tied: 1.1 * embedding.detach()}
    edits = [clamp, no_edit("topic", ("d", "t"), 1)._replace(weights=weights)]
    whole = [(bench.measure(edit), *bench.compare(edit)) for edit in edits]
    narrow()
    for edit, (measured, compared, kl_x) in zip(edits, whole, strict=True):
        for wanted, got in zip((*measured, *compared, kl_x), (*bench.measure(edit), *sum_of(bench, edit)), strict=True):
            assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5)
        assert kl_x.min() > 0
    assert torch.equal(embedding, gemma().get_input_embeddings().weight), "the model stays as it is"


def sum_of(bench: Bench, edit) -> list[torch.Tensor]:
    outcome, kl_x = bench.compare(edit)
    return [*outcome, kl_x]


def test_other_weights_are_those_of_a_model_that_has_them() -> None:
    model = gemma()
    tied, embedding = next(model.named_parameters())
    other = Reweighted(model, {tied: 2 * embedding.detach()})
    with torch.no_grad():
        got = pass_of(other, BATCH.ids_bt, BATCH.mask_bt).logits()
        embedding.mul_(2)
        assert torch.equal(got, pass_of(model, BATCH.ids_bt, BATCH.mask_bt).logits())


def test_no_more_logits_are_held_than_fit(monkeypatch) -> None:
    """On the way forward and on the way back."""
    monkeypatch.setattr(wide_head, "AT_ONCE", 64 * 4)
    model, seen = gemma().requires_grad_(True), []
    model.get_output_embeddings().register_forward_hook(lambda _, __, logits: seen.append(logits.numel() // 64))
    everywhere(model, gemma()).backward()
    assert max(seen) == 4 and sum(seen) >= 2 * int(BATCH.mask_bt.sum())
