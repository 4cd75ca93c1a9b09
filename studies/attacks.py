"""The relearning attack: fine-tune an edited model on related text and ask it what it was not taught again.

AdamW at 2e-4 on whole sentences, 16 a batch (long texts count for more). A hook, where the edit has one, stays in place
while the attacker trains; an attacker who removes it faces the model as it was, whose figures are those of ``none``.

Does forgetting survive what happens to a model in use: rounded weights, other text before the question?
"""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.unlearning.weights.examples import Example, draw, padded
from pipeline.unlearning.weights.losses import token_logprobs
from pipeline.unlearning.weights.training import minimise

LEARNING_RATE, BATCH = 2e-4, 16


def relearn(
    model: PreTrainedModel, pool: Sequence[Example], pad: int, checkpoints: Sequence[int], seed: int
) -> Iterator[int]:
    """Fine-tune ``model`` in place on the pool; yields at each checkpoint, a number of steps, ascending."""
    rng = np.random.default_rng(seed)
    parameters = list(model.requires_grad_(True).parameters())

    def loss() -> torch.Tensor:
        batch = padded(draw(pool, BATCH, rng), pad, model.device)
        return -token_logprobs(model, batch)[batch.counted_bt].mean()

    for step in minimise(parameters, loss, checkpoints[-1], LEARNING_RATE):
        if step in checkpoints:
            yield step


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
