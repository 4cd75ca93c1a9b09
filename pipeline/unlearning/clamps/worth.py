"""What a latent is worth clamping: what the target gives for it, less what everything else pays.

Each latent i is worth ``f_i - lambda max(mu s_i, o_i, g_i)``, as a share of all positive worth, where f, s, o and g
are about the target, its siblings, other nodes and general text:

    firing   its rates, shrunk by token counts toward the mean of the latent's parent group, so that a latent that was
             seen a few times is judged by its company; without a tree they stay as they are
    effect   the margins that probes lose when it is clamped: what fires need not matter
    both     the sum of the two

The margin of a probe is the score of its answer minus the log-sum-exp of the scores of its other options (in nats;
unlike a log-probability it does not saturate where the model is sure). Clamping latent i to v_i changes it by about

    sum over tokens where z_i > 0 of (v_i - z_i) (d margin / d x) . W_dec[i]

(attribution patching, Nanda 2023; Marks et al. 2024). The margin lost is what effect means: on the target it is the
gain of forgetting, on siblings and others the cost.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from pipeline.language_model.hooks import upper_layers
from pipeline.language_model.wide_head import Pass
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.case import Case
from pipeline.unlearning.firing import RETAINED
from pipeline.unlearning.gates.lesson import Asked, asked, together
from pipeline.unlearning.weights.losses import option_scores_in

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
    made = Pass(case.train.model.get_output_embeddings(), run, (resid_btd, batch.mask_bt))
    margin_q = margins(option_scores_in(made, [one.question for one in some]), some)
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


SIBLING_WEIGHT = 1.0  # mu: how much more sibling text counts
SHRINKAGE_TOKENS = 50.0  # tokens' worth of trust in a latent's parent group


def worths(case: Case, tree: FeatureTree | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Worth of every latent, float64 [s], for every measure and weight of what must stay, with those settings."""
    gains = {name: MEASURES[name](case, tree) for worth in case.settings.worths for name in WORTHS[worth]}
    for worth, weight in product(case.settings.worths, case.settings.retain_weights):
        shares = [share_of_worth(gains[name], weight, SIBLING_WEIGHT) for name in WORTHS[worth]]
        yield np.sum(shares, axis=0), {"worth": worth, "retain_weight": weight}


def share_of_worth(gain: dict[str, np.ndarray], retain_weight: float, sibling_weight: float) -> np.ndarray:
    """Worth of every latent by one measure, as a share of all that is worth taking; float64 [s]."""
    sibling_s = sibling_weight * gain["sibling"]
    worth_s = gain["forget"] - retain_weight * np.max([sibling_s, gain["other"], gain["general"]], axis=0)
    return worth_s / max(np.maximum(worth_s, 0).sum(), 1e-12)


def _fired(case: Case, tree: FeatureTree | None) -> dict[str, np.ndarray]:
    """Firing rates on the four kinds of text."""
    rates = {name: case.firing.rates(case.target, name) for name in ("forget", *RETAINED)}
    if tree is None:
        return rates
    prior = SHRINKAGE_TOKENS
    return {name: shrink(tree, rate_s, case.firing.tokens(case.target, name), prior) for name, rate_s in rates.items()}


def _felt(case: Case, tree: FeatureTree | None) -> dict[str, np.ndarray]:
    """Margins lost on the four kinds of probe when a latent is clamped; what a kind gains is no merit."""
    clamp_s = -case.firing.scale(case.target)
    lost = {name: margins_lost(case, name, clamp_s) for name in ("forget", *RETAINED)}
    return {name: lost_s if name == "forget" else np.maximum(lost_s, 0) for name, lost_s in lost.items()}


MEASURES = {"firing": _fired, "effect": _felt}
WORTHS = {"firing": ("firing",), "effect": ("effect",), "both": ("firing", "effect")}


def shrink(tree: FeatureTree, rate_s: np.ndarray, tokens: int, prior_tokens: float) -> np.ndarray:
    """Each latent's rate as if ``prior_tokens`` more tokens had shown the mean rate of its parent group."""
    mean_s = rate_s.copy()
    placed = np.zeros(len(rate_s), bool)
    for node in tree.nodes():  # lowest first: the first node that holds a latent is its parent
        fresh = node.members[~placed[node.members]]
        mean_s[fresh] = rate_s[node.members].mean()
        placed[fresh] = True
    return (tokens * rate_s + prior_tokens * mean_s) / max(tokens + prior_tokens, 1.0)
