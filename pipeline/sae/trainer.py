"""One training step, and everything that a checkpoint must keep of the steps before, Adam among it.

Adam (Kingma & Ba 2015) is on torch's fused kernel. ``torch.optim.Adam`` runs the same one, but its first instance
imports the compiler: five CPU-seconds, as long as the whole training of a small dictionary. Here the moments are also
plain named tensors, ready for a checkpoint.
"""

from typing import NamedTuple

import torch
from torch import nn

from pipeline.sae.dictionary import Dictionary, Weights
from pipeline.sae.distributed import mean_, n_processes, sum_
from pipeline.sae.inputs import Inputs
from pipeline.sae.rules.architectures import architecture_of
from pipeline.sae.settings import SAESettings
from pipeline.sae.snapshots import CodeStatistics, TreePenalty
from pipeline.sae.sparse.backward import (
    close_b_dec,
    code_gradient,
    reconstruct,
    revive,
    sum_of_squares,
    weight_gradients,
)
from pipeline.sae.sparse.products import find_pattern

BETAS = (0.9, 0.999)
EPSILON = 1e-8
CLIP_NORM = 1.0  # of the whole gradient
MOST_DEAD = 1024  # latents that AuxK looks at in one step, by turns: thousands would cost as much as the step itself


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


class Measures(NamedTuple):
    """What one step saw, kept as tensors so that a step never waits for the device."""

    loss: torch.Tensor  # everything that is minimised
    error: torch.Tensor  # sum of squared errors of the batch
    variance: torch.Tensor  # sum of squared distances from the batch mean
    sparsity: torch.Tensor  # the sparsity loss
    tree: torch.Tensor  # the hierarchy-aware loss
    auxiliary: torch.Tensor  # the loss of the dead latents
    active: torch.Tensor  # codes above 0
    rows: int


def learning_rate(settings: SAESettings, step: int) -> float:
    """Linear warm-up, constant, linear decay to 0 over the last ``decay_share`` of the steps."""
    warm = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    decay_steps = settings.decay_share * settings.steps
    cool = min(1.0, (settings.steps - step) / decay_steps) if decay_steps else 1.0
    return settings.learning_rate * warm * cool


class Trainer:
    """A dictionary in training. All randomness is in the initial weights: a step is a function of its batch."""

    def __init__(self, settings: SAESettings, inputs: Inputs, seed: int, device: str) -> None:
        self.settings = settings
        self.device = device
        self.scale_d = inputs.scale_d.to(device)
        self.scale = self.scale_d.item() if self.scale_d.dim() == 0 else self.scale_d.float()
        self.architecture = architecture_of(settings)
        self.weights = Weights(inputs.mean_d * inputs.scale_d, settings.d_sae, seed).to(device)
        self.optimiser = Adam(self.weights)
        self.idle_s = torch.zeros(settings.d_sae, dtype=torch.int64, device=device)  # rows since it fired
        self.statistics = CodeStatistics(settings.d_sae) if settings.correlation_every else None
        self.tree_penalty: TreePenalty | None = None
        self.step_number = 0

    @torch.no_grad()
    def step(self, acts_bd: torch.Tensor) -> Measures:
        """Train on one batch of raw activations."""
        measures = self.backward(acts_bd)
        self._update()
        return measures

    def backward(self, acts_bd: torch.Tensor) -> Measures:
        """Write the gradients of one batch and count who fired; the weights stay as they are."""
        weights, architecture = self.weights, self.architecture
        centred_bd = self._centred(acts_bd)
        pre_bs = torch.addmm(weights.b_enc, centred_bd, weights.W_enc.T)
        flat, value = architecture.fire(pre_bs, weights)
        pattern = find_pattern(flat, len(acts_bd), weights.d_sae, architecture.prefixes)
        found = reconstruct(pattern, value, weights, centred_bd, len(architecture.prefixes))
        gradient = code_gradient(pattern, weights, found)
        tree = found.loss.new_zeros(())
        if self.tree_penalty is not None:
            tree, more = self.tree_penalty(pattern, value, len(acts_bd))
            gradient = gradient + more
        sparsity, gradient = architecture.through(pattern, value, gradient, pre_bs, weights)
        weight_gradients(pattern, value, gradient, centred_bd, found, weights)
        auxiliary = self._revive(pre_bs, found.error_bd, centred_bd)
        close_b_dec(found, weights)
        if self.statistics is not None:
            self.statistics.add(pattern, value, len(acts_bd))
        firing = value > 0
        self._count(pattern.latent[firing], len(acts_bd))
        return Measures(
            found.loss + sparsity + tree + auxiliary,
            sum_of_squares(found.error_bd),
            sum_of_squares(centred_bd) - len(acts_bd) * sum_of_squares(centred_bd.mean(0)),
            sparsity,
            tree,
            auxiliary,
            firing.sum(),
            len(acts_bd),
        )

    def _centred(self, acts_bd: torch.Tensor) -> torch.Tensor:
        """``scale x - b_dec``."""
        if isinstance(self.scale, float):
            return torch.add(-self.weights.b_dec, acts_bd, alpha=self.scale)
        return torch.addcmul(-self.weights.b_dec, acts_bd, self.scale)

    def _revive(self, pre_bs: torch.Tensor, error_bd: torch.Tensor, centred_bd: torch.Tensor) -> torch.Tensor:
        dead = self.dead().nonzero().squeeze(1)
        if len(dead) == 0 or self.settings.aux_weight == 0:
            return error_bd.new_zeros(())
        if len(dead) > MOST_DEAD:
            dead = dead.roll(-MOST_DEAD * self.step_number % len(dead))[:MOST_DEAD]
        return revive(pre_bs, dead, error_bd, centred_bd, self.weights, self.settings.aux_weight)

    def _update(self) -> None:
        mean_([weight.grad for weight in self.weights.parameters() if weight.grad is not None])
        self.weights.project_decoder_gradient()
        torch.nn.utils.clip_grad_norm_(self.weights.parameters(), CLIP_NORM)
        self.optimiser.step(learning_rate(self.settings, self.step_number))
        self.weights.project()
        self.step_number += 1

    def _count(self, fired: torch.Tensor, n_rows: int) -> None:
        fired_s = torch.zeros_like(self.idle_s)
        fired_s[fired] = 1
        self.idle_s += n_rows * n_processes()
        self.idle_s[sum_(fired_s) > 0] = 0

    def dead(self) -> torch.Tensor:
        """Which latents have not fired for ``dead_after_tokens``, bool [s]."""
        return self.idle_s >= self.settings.dead_after_tokens

    def dictionary(self) -> Dictionary:
        """The dictionary as it stands, for raw activations."""
        return self.weights.to_dictionary(self.scale_d, *self.architecture.inference(self.weights))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, Adam's moments and the counters, by name."""
        weights = {f"weights.{name}": weight for name, weight in self.weights.named_parameters()}
        moments = {f"adam.{name}": moment for name, moment in self.optimiser.moments.items()}
        kept = weights | moments | {"idle": self.idle_s}
        if self.statistics is not None:
            kept |= {f"codes.{name}": tensor for name, tensor in self.statistics.tensors().items()}
        return kept

    def restore(self, tensors: dict[str, torch.Tensor], step: int, state: dict[str, float]) -> None:
        """Continue from what ``tensors``, ``step_number`` and ``architecture.state`` once were."""
        self.idle_s.copy_(tensors["idle"])
        for name, weight in self.weights.named_parameters():
            weight.copy_(tensors[f"weights.{name}"])
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                self.optimiser.moments[name.removeprefix("adam.")] = tensor.to(self.idle_s.device)
        if self.statistics is not None:
            self.statistics.restore(
                {name.removeprefix("codes."): t for name, t in tensors.items() if name.startswith("codes.")}
            )
        self.step_number = step
        self.architecture.state = dict(state)
