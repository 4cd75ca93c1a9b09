"""What learned gates minimise: three ways of not knowing the target, and distance to the original elsewhere.

All forget terms are 0 where nothing is known, and in nats or a share of ln V:

    uniform   KL(uniform || the options' distribution): no option of a probe is preferred
    hinge     max(0, ln p(answer) - ln KNOWN): the answer is no longer probable, mean over its tokens
    entropy   1 - H / ln V of the first answer token: anything may come next
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

from pipeline.language_model.answers import Question
from pipeline.unlearning.gates.lesson import Kept
from pipeline.unlearning.weights.losses import option_scores_of

KNOWN = 0.02  # probability up to which an answer counts as unknown: about one value of a pool


def forget_loss(logits_btv: torch.Tensor, questions: Sequence[Question], weights: Mapping[str, float]) -> torch.Tensor:
    """Weighted sum of the terms, each a mean over the questions; rows are the questions' inputs in their order."""
    scores_qo = option_scores_of(logits_btv, questions)
    loss = torch.zeros((), device=logits_btv.device)
    if weights["uniform"]:
        loss = loss + weights["uniform"] * uniform(scores_qo)
    if weights["hinge"]:
        answer_q = scores_qo[range(len(questions)), [question.answer for question in questions]]
        loss = loss + weights["hinge"] * F.relu(answer_q - math.log(KNOWN)).mean()
    if weights["entropy"]:
        firsts = [row for row, _ in _first_rows(questions)]
        positions = [question.n_prompt - 1 for question in questions]
        loss = loss + weights["entropy"] * certainty(logits_btv[firsts, positions])
    return loss


def uniform(scores_qo: torch.Tensor) -> torch.Tensor:
    """KL(uniform || softmax(scores)), mean over the questions."""
    return -scores_qo.log_softmax(1).mean() - math.log(scores_qo.shape[1])


def certainty(logits_qv: torch.Tensor) -> torch.Tensor:
    """1 - H / ln V, mean over the questions."""
    logprobs_qv = logits_qv.float().log_softmax(-1)
    entropy_q = -(logprobs_qv.exp() * logprobs_qv).sum(-1)
    return 1 - entropy_q.mean() / math.log(logits_qv.shape[-1])


def retained(logits_btv: torch.Tensor, kept: Sequence[Kept]) -> torch.Tensor:
    """KL(original || gated) at the compared positions, mean over all of them, in nats."""
    row = torch.cat([torch.full_like(k.positions_p, b) for b, k in enumerate(kept)])
    got_pv = logits_btv[row, torch.cat([k.positions_p for k in kept])].float().log_softmax(-1)
    return F.kl_div(got_pv, torch.cat([k.original_pv for k in kept]), reduction="batchmean", log_target=True)


def _first_rows(questions: Sequence[Question]) -> list[tuple[int, Question]]:
    rows, at = [], 0
    for question in questions:
        rows.append((at, question))
        at += len(question.inputs)
    return rows
