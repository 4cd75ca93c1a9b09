"""What each latent does, not when it fires: the effect of clamping it, to first order, for all latents in one pass.

The margin of a probe is the score of its answer minus the log-sum-exp of the scores of its other options (in nats;
unlike a log-probability it does not saturate where the model is sure). Clamping latent i to v_i changes it by about

    sum over tokens where z_i > 0 of (v_i - z_i) (d margin / d x) . W_dec[i]

(attribution patching, Nanda 2023; Marks et al. 2024). The effect is the margin lost: on the target it is the gain of
forgetting, on siblings and others the cost.
"""

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.language_model.hooks import upper_layers
from pipeline.unlearning.case import Case
from pipeline.unlearning.gates.lesson import Asked, asked, together
from pipeline.unlearning.weights.losses import option_scores_of

CHUNK = 64  # questions in one pass
MOST = 200  # questions of a relation: the mean over more moves little, and a pass back costs as much as two forward


def margins_lost(case: Case, wanted: str, values_s: torch.Tensor) -> np.ndarray:
    """Margin that a probe of one relation loses on average by clamping each latent to ``values_s``; float64 [s].

    0 for every latent where there are no such probes.
    """
    questions = asked(case.train, case.target, wanted)
    questions = questions[:: -(-len(questions) // MOST) or 1]
    lost_s = torch.zeros(len(values_s), dtype=torch.float64)
    with upper_layers(case.train.model, case.layer) as run, torch.enable_grad():
        for start in range(0, len(questions), CHUNK):
            lost_s += _lost(case, questions[start : start + CHUNK], values_s, run)
    return (lost_s / max(1, len(questions))).numpy()


def _lost(case: Case, some: Sequence[Asked], values_s: torch.Tensor, run) -> torch.Tensor:
    batch = together([row for one in some for row in one.rows])
    resid_btd = batch.resid_btd.detach().requires_grad_(True)
    margin_q = margins(option_scores_of(run(resid_btd, batch.mask_bt), [one.question for one in some]), some)
    (gradient_btd,) = torch.autograd.grad(margin_q.sum(), resid_btd)
    dictionary = case.train.dictionary
    codes_bts = dictionary.encode(batch.resid_btd.float())
    acts_bts = batch.editable_bt[..., None] & (codes_bts > 0)
    change_bts = torch.where(acts_bts, values_s - codes_bts, 0.0)
    return -(change_bts * (gradient_btd.float() @ dictionary.W_dec.T)).sum((0, 1)).double().cpu()


def margins(scores_qo: torch.Tensor, some: Sequence[Asked]) -> torch.Tensor:
    """Score of the answer minus the log-sum-exp of the others, [q]."""
    right_qo = torch.zeros_like(scores_qo, dtype=torch.bool)
    right_qo[range(len(some)), [one.question.answer for one in some]] = True
    others_q = scores_qo.masked_fill(right_qo, -torch.inf).logsumexp(1)
    return scores_qo[right_qo] - others_q
