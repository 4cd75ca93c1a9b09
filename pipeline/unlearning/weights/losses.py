"""What training on a forget set minimises, the anchor that keeps the rest, and calibration to chance.

A forget loss is ``loss(got_bt, original_bt) -> scalar``: both are log-probabilities of the true tokens, of the trained
and of the original model, where ``counted_bt`` is True.

Calibration trains the scores of a probe's options (mean log-probability of their tokens, what multiple choice compares)
toward the uniform distribution, for an answer that is avoided still tells it: ``loss = mean over probes of CE(uniform,
softmax(scores))``, in nats; it is least, the logarithm of the number of options, when all are equally likely.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from pipeline.language_model.answers import Question, pad_right
from pipeline.language_model.wide_head import Pass, divergences, logprobs_at, next_logprobs, pass_of
from pipeline.unlearning.weights.examples import PROBE_TOKENS, Padded


def token_logprobs(model: PreTrainedModel, batch: Padded) -> torch.Tensor:
    """Log-probability of every next token, float32 [b, t - 1]; over a wide vocabulary of the counted ones, else 0."""
    made = pass_of(model, batch.ids_bt, batch.mask_bt)
    if not made.fits(batch.ids_bt.numel()):
        return next_logprobs(made, batch.ids_bt, batch.counted_bt)
    logits_btv = made.logits()[:, :-1].float()
    return -F.cross_entropy(logits_btv.transpose(1, 2), batch.ids_bt[:, 1:], reduction="none")


def ascent(got_bt: torch.Tensor, counted_bt: torch.Tensor) -> torch.Tensor:
    """Gradient ascent: the mean log-probability of the true tokens, without a floor."""
    return got_bt[counted_bt].mean()


def bounded_ascent(got_bt: torch.Tensor, counted_bt: torch.Tensor, most: float) -> torch.Tensor:
    """The same, ``- min(CE, most)``: without a bound it runs away and takes the siblings along."""
    return -(-got_bt[counted_bt]).clamp(max=most).mean()


def preference(got_bt: torch.Tensor, original_bt: torch.Tensor, counted_bt: torch.Tensor, beta: float) -> torch.Tensor:
    """NPO (Zhang et al. 2024): ``2 / beta * mean log(1 + (p / p_original)^beta)``, the ratio over a whole example.

    For beta -> 0 it is gradient ascent; for larger beta the gradient of an example dies down once it is forgotten.
    """
    ratio_b = ((got_bt - original_bt) * counted_bt).sum(1)
    return -2 / beta * F.logsigmoid(-beta * ratio_b).mean()


def divergence(
    model: PreTrainedModel, original: PreTrainedModel, batch: Padded, rng: np.random.Generator
) -> torch.Tensor:
    """Mean KL(original || model) of the next-token distribution over all positions, in nats.

    Over a wide vocabulary, whose product is most of the price, at some positions: see ``some_places``.
    """
    made, before = (pass_of(of, batch.ids_bt, batch.mask_bt) for of in (model, original))
    if not made.fits(batch.ids_bt.numel()):
        where_bt = some_places(batch, rng)
        return divergences(made, before, where_bt).sum() / where_bt.sum()
    with torch.no_grad():
        wanted = before.logits().float().log_softmax(-1)
    got = made.logits().float().log_softmax(-1)
    kl_bt = F.kl_div(got, wanted, reduction="none", log_target=True).sum(-1)
    return (kl_bt * batch.mask_bt).sum() / batch.mask_bt.sum()


def some_places(batch: Padded, rng: np.random.Generator) -> torch.Tensor:
    """Of every row the positions in front of counted tokens, at most ``PROBE_TOKENS``, and one more; bool [b, t]."""
    where_bt = torch.zeros_like(batch.mask_bt, dtype=torch.bool)
    for row, (counted_t, n_tokens) in enumerate(zip(batch.counted_bt, batch.mask_bt.sum(1).tolist(), strict=True)):
        counted = counted_t.nonzero().flatten().tolist()
        chosen = rng.choice(counted, min(PROBE_TOKENS, len(counted)), replace=False).tolist() if counted else []
        where_bt[row, [*chosen, int(rng.integers(n_tokens))]] = True
    return where_bt


def option_scores(model: PreTrainedModel, questions: Sequence[Question], pad: int) -> torch.Tensor:
    """Mean log-probability of every option's tokens, differentiable, float32 [q, o]; all have as many options."""
    inputs = [tokens for question in questions for tokens in question.inputs]
    ids_bt, mask_bt = (t.to(model.device) for t in pad_right(inputs, pad))
    return option_scores_in(pass_of(model, ids_bt, mask_bt), questions)


def option_scores_in(made: Pass, questions: Sequence[Question]) -> torch.Tensor:
    """The same from a pass whose rows are the inputs of all questions in their order."""
    if made.fits(made.inputs[0].shape[:2].numel()):
        return option_scores_of(made.logits(), questions)
    row, position, token, *rest = _lookups(questions, made.head.weight.device)
    places, place = torch.stack([row, position]).unique(dim=1, return_inverse=True)
    logprobs, _ = logprobs_at(made, *places, place, token)
    return _means(logprobs, *rest, questions)


def option_scores_of(logits_btv: torch.Tensor, questions: Sequence[Question]) -> torch.Tensor:
    """The same from logits."""
    row, position, token, *rest = _lookups(questions, logits_btv.device)
    logprobs = logits_btv[row, position].float().log_softmax(-1)
    return _means(logprobs.gather(1, token[:, None])[:, 0], *rest, questions)


def _means(
    logprobs: torch.Tensor, q: torch.Tensor, o: torch.Tensor, share: torch.Tensor, questions: Sequence[Question]
) -> torch.Tensor:
    scores = torch.zeros(len(questions), len(questions[0].option_tokens), device=logprobs.device)
    return scores.index_put((q, o), share * logprobs, accumulate=True)


def _lookups(questions: Sequence[Question], device: torch.device) -> tuple[torch.Tensor, ...]:
    """For every token of every option: row, position, token, question, option, and 1 / the option's tokens."""
    rows = [(q, i) for q, question in enumerate(questions) for i in range(len(question.inputs))]
    row_of = {place: row for row, place in enumerate(rows)}
    places = [
        (row_of[q, question.input_of_option[o]], question.n_prompt - 1 + k, token, q, o, 1 / len(option))
        for q, question in enumerate(questions)
        for o, option in enumerate(question.option_tokens)
        for k, token in enumerate(option)
    ]
    share = torch.tensor([place[5] for place in places], device=device)
    return (*torch.tensor([place[:5] for place in places], device=device).T, share)


def indifference(scores_qo: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the options' distribution with the uniform one, mean over probes, in nats."""
    return -scores_qo.log_softmax(1).mean()
