"""The relearning attack: fine-tune an edited model on related text and ask it what it was not taught again.

AdamW at 2e-4, where nothing else is said, on whole sentences, 16 a batch (long texts count for more). A hook, where the
edit has one, stays in place while the attacker trains; an attacker who removes it faces the model as it was, whose
figures are those of ``none``.

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
    model: PreTrainedModel,
    pool: Sequence[Example],
    pad: int,
    checkpoints: Sequence[int],
    seed: int,
    weights: Sequence[torch.nn.Parameter] = (),
    learning_rate: float = LEARNING_RATE,
) -> Iterator[int]:
    """Fine-tune some weights of ``model``, or all, in place on the pool; yields at each checkpoint, a number of steps,
    ascending."""
    rng = np.random.default_rng(seed)
    parameters = list(weights or model.parameters())
    model.requires_grad_(False)
    for weight in parameters:
        weight.requires_grad_(True)

    def loss() -> torch.Tensor:
        batch = padded(draw(pool, BATCH, rng), pad, model.device)
        return -token_logprobs(model, batch)[batch.counted_bt].mean()

    for step in minimise(parameters, loss, checkpoints[-1], learning_rate):
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
