"""What training on a forget set minimises, and the anchor that keeps the rest.

A forget loss is ``loss(got_bt, original_bt) -> scalar``: both are log-probabilities of the true tokens, of the trained
and of the original model, where ``counted_bt`` is True.
"""

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from pipeline.unlearning.weights.examples import Padded


def token_logprobs(model: PreTrainedModel, batch: Padded) -> torch.Tensor:
    """Log-probability of every next token, float32 [b, t - 1]."""
    logits_btv = model(input_ids=batch.ids_bt, attention_mask=batch.mask_bt).logits[:, :-1].float()
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


def divergence(model: PreTrainedModel, original: PreTrainedModel, batch: Padded) -> torch.Tensor:
    """Mean KL(original || model) of the next-token distribution over all positions, in nats."""
    with torch.no_grad():
        wanted = original(input_ids=batch.ids_bt, attention_mask=batch.mask_bt).logits.float().log_softmax(-1)
    got = model(input_ids=batch.ids_bt, attention_mask=batch.mask_bt).logits.float().log_softmax(-1)
    kl_bt = F.kl_div(got, wanted, reduction="none", log_target=True).sum(-1)
    return (kl_bt * batch.mask_bt).sum() / batch.mask_bt.sum()
