"""Adam (Kingma & Ba 2015) on torch's fused kernel.

``torch.optim.Adam`` runs the same kernel, but its first instance imports the compiler: five CPU-seconds, as long as
the whole training of a small dictionary. Here the moments are also plain named tensors, ready for a checkpoint.
"""

import torch
from torch import nn

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Updates every parameter that has a gradient; a parameter's moments begin with its first one."""

    def __init__(self, weights: nn.Module) -> None:
        self.weights = dict(weights.named_parameters())
        self.moments: dict[str, torch.Tensor] = {}  # "W_enc.first", "W_enc.second", "W_enc.step"

    def step(self, learning_rate: float) -> None:
        names = [name for name, weight in self.weights.items() if weight.grad is not None]
        for name in names:
            if f"{name}.step" not in self.moments:
                self._begin(name)
            self.moments[f"{name}.step"] += 1
        torch._fused_adam_(
            [self.weights[name] for name in names],
            [self.weights[name].grad for name in names],
            [self.moments[f"{name}.first"] for name in names],
            [self.moments[f"{name}.second"] for name in names],
            [],
            [self.moments[f"{name}.step"] for name in names],
            lr=learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _begin(self, name: str) -> None:
        weight = self.weights[name]
        self.moments[f"{name}.first"] = torch.zeros_like(weight)
        self.moments[f"{name}.second"] = torch.zeros_like(weight)
        self.moments[f"{name}.step"] = torch.zeros((), device=weight.device)
