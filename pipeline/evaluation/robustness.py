"""Does forgetting survive what happens to a model in use: rounded weights, other text before the question?"""

import copy
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel


@torch.no_grad()
def rounded(model: PreTrainedModel, bits: int) -> PreTrainedModel:
    """A copy whose weight matrices are rounded to ``bits``: each row to multiples of max |w| / (2^(bits - 1) - 1)."""
    model = copy.deepcopy(model)
    for weight in model.parameters():
        if weight.dim() == 2:
            step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            weight.copy_((weight / step.clamp(min=1e-12)).round() * step)
    return model


def in_context(probes: Sequence[dict], text: str) -> list[dict]:
    """The same probes behind some other text."""
    return [probe | {"prompt": f"{text} {probe['prompt']}"} for probe in probes]
