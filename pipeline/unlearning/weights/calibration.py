"""Bring the answers about the target to chance: after forgetting, an answer that is avoided still tells it.

Calibration trains the scores of a probe's options (mean log-probability of their tokens, what multiple choice compares)
toward the uniform distribution: ``loss = mean over probes of CE(uniform, softmax(scores))``, in nats; it is least, the
logarithm of the number of options, when all are equally likely.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from pipeline.language_model.answers import Question, pad_right


def option_scores(model: PreTrainedModel, questions: Sequence[Question], pad: int) -> torch.Tensor:
    """Mean log-probability of every option's tokens, differentiable, float32 [q, o]; all have as many options."""
    inputs = [tokens for question in questions for tokens in question.inputs]
    ids_bt, mask_bt = (t.to(model.device) for t in pad_right(inputs, pad))
    return option_scores_of(model(input_ids=ids_bt, attention_mask=mask_bt).logits, questions)


def option_scores_of(logits_btv: torch.Tensor, questions: Sequence[Question]) -> torch.Tensor:
    """The same from logits, whose rows are the inputs of all questions in their order."""
    rows = [(q, i) for q, question in enumerate(questions) for i in range(len(question.inputs))]
    row_of = {place: row for row, place in enumerate(rows)}
    places = [
        (row_of[q, question.input_of_option[o]], question.n_prompt - 1 + k, token, q, o, 1 / len(option))
        for q, question in enumerate(questions)
        for o, option in enumerate(question.option_tokens)
        for k, token in enumerate(option)
    ]
    device = logits_btv.device
    row, position, token, q, o = torch.tensor([place[:5] for place in places], device=device).T
    share = torch.tensor([place[5] for place in places], device=device)
    logprobs = logits_btv[row, position].float().log_softmax(-1)
    scores = torch.zeros(len(questions), len(questions[0].option_tokens), device=device)
    return scores.index_put((q, o), share * logprobs.gather(1, token[:, None])[:, 0], accumulate=True)


def indifference(scores_qo: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the options' distribution with the uniform one, mean over probes, in nats."""
    return -scores_qo.log_softmax(1).mean()
