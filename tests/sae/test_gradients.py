"""The hand-written gradients equal those of autograd in float64, sparse and dense, with and without dead latents.

The reference computes every loss from its formula on dense codes; it shares no code with the library.
"""

import pytest
import torch

from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.settings import SAESettings
from pipeline.sae.sparse import products as kernels
from pipeline.sae.trainer import Trainer
from tests.support.settings import recommended

D_MODEL, D_SAE, ROWS, K, BANDWIDTH = 12, 40, 32, 4, 0.2


def trained(architecture: str, **settings) -> tuple[Trainer, torch.Tensor]:
    """A trainer a few steps from its start, and a batch it has not seen."""
    generator = torch.Generator().manual_seed(1)
    batches = torch.randn(6, ROWS, D_MODEL, generator=generator) * 3 + 1
    section = recommended(
        SAESettings,
        architecture=architecture,
        d_sae=D_SAE,
        k=K,
        steps=100,
        warm_up_steps=0,
        batch_size=ROWS,
        prefix_shares=(0.1, 0.25, 0.5),
        bandwidth=BANDWIDTH,
        l0_weight=0.5,
        **settings,
    )
    trainer = Trainer(section, by_mean_norm(batches.mean((0, 1)), float(batches.norm(dim=2).mean())), 0, "cpu")
    for batch in batches[:-1]:
        trainer.step(batch)
    return trainer, batches[-1]


def by_autograd(trainer: Trainer, acts_bd: torch.Tensor, rule) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients from the formulas, in float64; ``rule(pre, w) -> (codes, sparsity loss)``."""
    w = {name: p.detach().double().clone().requires_grad_() for name, p in trainer.weights.named_parameters()}
    x = acts_bd.double() * trainer.scale
    pre = (x - w["b_dec"]) @ w["W_enc"].T + w["b_enc"]
    codes, sparsity = rule(pre, w)
    loss = sparsity
    for prefix in trainer.architecture.prefixes:
        recon = codes[:, :prefix] @ w["W_dec"][:prefix] + w["b_dec"]
        loss = loss + (recon - x).square().sum(1).mean() / len(trainer.architecture.prefixes)
    dead = trainer.dead()
    if dead.any():
        k_aux = D_MODEL // 2
        spare = pre[:, dead].relu()
        if spare.shape[1] > k_aux:
            spare = spare * (spare >= spare.topk(k_aux, dim=1).values[:, -1:])
        missed = (x - codes @ w["W_dec"] - w["b_dec"]).detach()
        share = trainer.settings.aux_weight * min(1.0, int(dead.sum()) / k_aux)
        loss = loss + share * (spare @ w["W_dec"][dead] - missed).square().sum(1).mean()
    loss.backward()
    return loss.item(), {name: p.grad for name, p in w.items() if p.grad is not None}


def batch_topk(pre, w):
    cut = pre.flatten().topk(K * ROWS).values[-1]
    return pre * (pre >= cut), 0.0


def relu(pre, w):
    return pre.relu(), 0.04 * pre.relu().sum(1).mean()


def topk(pre, w):
    return pre * (pre >= pre.topk(K, dim=1).values[:, -1:]) * (pre > 0), 0.0


class Fires(torch.autograd.Function):
    """[p > t] with the straight-through derivative in t of the JumpReLU paper."""

    @staticmethod
    def forward(ctx, pre, threshold):
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre)

    @staticmethod
    def backward(ctx, gradient):
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < BANDWIDTH / 2).to(pre)
        return None, (-near / BANDWIDTH * gradient).sum(0)


class Jump(torch.autograd.Function):
    """p [p > t] with the straight-through derivative in t of the JumpReLU paper."""

    @staticmethod
    def forward(ctx, pre, threshold):
        ctx.save_for_backward(pre, threshold)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx, gradient):
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < BANDWIDTH / 2).to(pre)
        return gradient * (pre > threshold), (-near * threshold / BANDWIDTH * gradient).sum(0)


def jump_relu(pre, w):
    l0 = Fires.apply(pre, w["threshold"]).sum(1).mean()
    return Jump.apply(pre, w["threshold"]), 0.5 * (l0 / K - 1).square()


RULES = {"batch_topk": batch_topk, "relu": relu, "topk": topk, "matryoshka": batch_topk, "jump_relu": jump_relu}


def assert_equal(trainer: Trainer, acts_bd: torch.Tensor, rule) -> None:
    loss, expected = by_autograd(trainer, acts_bd, rule)
    measures = trainer.backward(acts_bd)
    assert float(measures.loss) == pytest.approx(loss, rel=1e-6)
    assert (len(expected) == 5) == (trainer.settings.architecture == "jump_relu")
    for name, theirs in expected.items():
        ours = getattr(trainer.weights, name).grad.double()
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-6, name


@pytest.mark.parametrize("dense_above", [0.0, 1.0], ids=["dense", "sparse"])
@pytest.mark.parametrize("architecture", RULES)
def test_gradients_equal_autograd(architecture, dense_above, monkeypatch):
    monkeypatch.setattr(kernels, "DENSE_ABOVE", dense_above)
    trainer, batch = trained(architecture)
    assert_equal(trainer, batch, RULES[architecture])


@pytest.mark.parametrize("dead", [3, 20], ids=["fewer dead than k_aux", "more dead than k_aux"])
@pytest.mark.parametrize("architecture", RULES)
def test_gradients_equal_autograd_with_dead_latents(architecture, dead):
    trainer, batch = trained(architecture, aux_weight=0.5)
    trainer.idle_s[:dead] = trainer.settings.dead_after_tokens
    assert_equal(trainer, batch, RULES[architecture])


@pytest.mark.parametrize("architecture", RULES)
def test_the_loss_curve_is_that_of_autograd(architecture):
    """Sixty steps with the library's gradients and sixty with autograd's, both from the same weights."""
    (ours, _), (theirs, _) = trained(architecture, aux_weight=0.0), trained(architecture, aux_weight=0.0)
    generator = torch.Generator().manual_seed(2)
    for batch in torch.randn(60, ROWS, D_MODEL, generator=generator) * 3 + 1:
        loss, gradients = by_autograd(theirs, batch, RULES[architecture])
        for name, gradient in gradients.items():
            getattr(theirs.weights, name).grad = gradient.float()
        theirs._update()
        assert float(ours.step(batch).loss) == pytest.approx(loss, rel=1e-4)
