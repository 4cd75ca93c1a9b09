"""An attacker who relearns the target while the editor forgets it, so that it does not come back with a few steps.

The attacker keeps a change of every weight. At each step of either phase it takes one AdamW step toward the target's
whole sentences, from where it stands; after ``attack_steps`` it starts anew from no change. The editor lowers the mean
of its loss at the weights and at ``weights + change``; its gradient is that with respect to its own weights, the change
held fixed. To first order that is the meta-learning of Tamirisa et al. (2024, "Tamper-resistant safeguards", arXiv
2408.00761). What must stay is anchored at the weights themselves. In memory the attacker takes three more copies of the
weights: its change and AdamW's moments.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.func import functional_call
from transformers import PreTrainedModel

from pipeline.unlearning.weights.examples import Example, draw, padded, whole
from pipeline.unlearning.weights.losses import token_logprobs

RATE = 5e-4  # the attacker's AdamW


class Attacker:
    """The model as its attacker has it; called like the model."""

    def __init__(
        self, model: PreTrainedModel, pool: Sequence[Example], steps: int, batch: int, pad: int, rate: float = RATE
    ) -> None:
        self.model, self.device = model, model.device
        self.pool = [whole(example.tokens) for example in pool]
        self.steps, self.batch, self.pad, self.rate = steps, batch, pad, rate
        self.taken = 0

    def __call__(self, **inputs: torch.Tensor) -> Any:
        weights = dict(self.model.named_parameters())
        changed = {name: weights[name] + change for name, change in self.change.items()}
        return functional_call(self.model, changed, kwargs=inputs)

    def relearn(self, rng: np.random.Generator) -> None:
        """One step more, or the first one of a new attack."""
        if self.taken % self.steps == 0:
            self._begin()
        self.taken += 1
        batch = padded(draw(self.pool, self.batch, rng), self.pad, self.device)
        changes = [change.requires_grad_(True) for change in self.change.values()]
        with torch.enable_grad():
            loss = -token_logprobs(self, batch)[batch.counted_bt].mean()
            gradients = torch.autograd.grad(loss, changes)
        for change, gradient in zip(changes, gradients, strict=True):
            change.requires_grad_(False).grad = gradient
        self.optimizer.step()

    def _begin(self) -> None:
        self.change = {name: torch.zeros_like(weight) for name, weight in self.model.named_parameters()}
        self.optimizer = torch.optim.AdamW(self.change.values(), lr=self.rate, weight_decay=0.0)
