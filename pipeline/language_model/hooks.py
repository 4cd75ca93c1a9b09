"""Read and rewrite a transformer's residual stream.

A hook point is ``(layer, site)``. The sites, in the order in which a layer passes them:

    resid_pre    the residual stream that enters the layer
    attn_out     what attention adds to it (after Gemma's post-attention norm)
    mlp_out      what the MLP adds to it (after Gemma's post-feedforward norm)
    resid_post   the residual stream that leaves the layer

In an architecture that adds each part once, ``resid_post = resid_pre + attn_out + mlp_out``.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from pipeline.core.errors import PipelineError

SITES = ("resid_pre", "attn_out", "mlp_out", "resid_post")


def hook_name(layer: int, site: str) -> str:
    """The hook point in TransformerLens' words, e.g. ``blocks.1.hook_resid_post``."""
    return f"blocks.{layer}.hook_{site}"


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of decoder layers: the outermost module list with one entry per hidden layer."""
    n_layers = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise PipelineError(f"{type(model).__name__} has no list of {n_layers} decoder layers that can be hooked")


class _Stop(Exception):
    """Raised by the last hook of a capture; never leaves the model's call."""


@contextlib.contextmanager
def capture(model: PreTrainedModel, points: Mapping[str, tuple[int, str]]) -> Iterator[dict[str, torch.Tensor]]:
    """Inside the block, calling ``model`` fills the given dict with one [b, t, d] tensor per name in ``points``.

    The forward pass ends at the last hook point: the call returns None, the layers above and the head never run.
    Gradients flow where they are enabled.
    """
    layers = decoder_layers(model)
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, acts_btd: torch.Tensor) -> None:
        seen[name] = acts_btd
        if len(seen) == len(points):
            raise _Stop

    with contextlib.ExitStack() as hooks:
        for name, (layer, site) in points.items():
            hooks.enter_context(_hooked(_layer(layers, layer), site, partial(keep, name)))
        hooks.enter_context(_ends_at_stop(model, seen))
        yield seen


@contextlib.contextmanager
def rewriting(
    model: PreTrainedModel, layer: int, site: str, edit: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Inside the block, ``edit(acts_btd)`` replaces the activation at the hook point in every forward pass."""
    with _hooked(_layer(decoder_layers(model), layer), site, edit):
        yield


@contextlib.contextmanager
def upper_layers(
    model: PreTrainedModel, layer: int
) -> Iterator[Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]]:
    """Give ``run(resid_btd, attention_mask_bt) -> logits_btv``, which runs the layers above ``layer`` only.

    ``resid_btd`` is ``resid_post`` of ``layer``. The layers up to it pass it through; they stay in their places, since
    a model picks masks and caches by a layer's index.
    """
    layers = decoder_layers(model)
    lower = [_layer(layers, index) for index in range(layer + 1)]
    returns_tuple = _returns_tuple(model, lower[0])
    through = _PassThrough(returns_tuple)

    def run(resid_btd: torch.Tensor, attention_mask_bt: torch.Tensor | None = None) -> torch.Tensor:
        through.resid_btd = resid_btd
        out = model(inputs_embeds=resid_btd, attention_mask=attention_mask_bt, use_cache=False)
        return out.logits

    try:
        for index in range(layer + 1):
            layers[index] = through
        yield run
    finally:
        for index, module in enumerate(lower):
            layers[index] = module


class _PassThrough(nn.Module):
    """Stands for a layer and returns a stored residual stream, whatever it is given."""

    def __init__(self, returns_tuple: bool) -> None:
        super().__init__()
        self.returns_tuple = returns_tuple
        self.resid_btd = torch.empty(0)

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor | tuple[torch.Tensor]:
        return (self.resid_btd,) if self.returns_tuple else self.resid_btd


def _returns_tuple(model: PreTrainedModel, layer: nn.Module) -> bool:
    """Whether this architecture's layers return a tuple; found by one forward pass over one token."""
    found: list[bool] = []

    def look(module: nn.Module, args: Any, output: Any) -> None:
        found.append(isinstance(output, tuple))
        raise _Stop

    handle = layer.register_forward_hook(look)
    try:
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=False)
    except _Stop:
        pass
    finally:
        handle.remove()
    return found[0]


@contextlib.contextmanager
def _ends_at_stop(model: PreTrainedModel, seen: dict[str, torch.Tensor]) -> Iterator[None]:
    """Turn the exception that ends a capture into a plain return of None; each call starts with nothing seen."""
    replaced = vars(model).get("forward")
    forward = model.forward

    def stopped(*args: Any, **kwargs: Any) -> None:
        seen.clear()
        kwargs.setdefault("use_cache", False)
        with contextlib.suppress(_Stop):
            forward(*args, **kwargs)

    model.forward = stopped
    try:
        yield
    finally:
        if replaced is None:
            del model.forward
        else:
            model.forward = replaced


@contextlib.contextmanager
def _hooked(layer: nn.Module, site: str, edit: Callable[[torch.Tensor], torch.Tensor | None]) -> Iterator[None]:
    """Call ``edit`` on the activation at ``site``; a tensor that it returns takes the activation's place."""

    def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (_or(edit(args[0]), args[0]), *args[1:]), kwargs
        states = kwargs["hidden_states"]
        return args, {**kwargs, "hidden_states": _or(edit(states), states)}

    def after(module: nn.Module, args: tuple, output: Any) -> Any:
        if isinstance(output, tuple):
            return (_or(edit(output[0]), output[0]), *output[1:])
        return _or(edit(output), output)

    if site == "resid_pre":
        handle = layer.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = _module_at(layer, site).register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def _or(edited: torch.Tensor | None, original: torch.Tensor) -> torch.Tensor:
    return original if edited is None else edited


def _layer(layers: nn.ModuleList, layer: int) -> nn.Module:
    if not 0 <= layer < len(layers):
        raise PipelineError(f"layer {layer} is beyond the model, which has the layers 0 to {len(layers) - 1}")
    return layers[layer]


def _module_at(layer: nn.Module, site: str) -> nn.Module:
    """The module whose output is the activation at ``site``.

    A layer with ``post_feedforward_layernorm`` (Gemma 2 and 3, OLMo 2) normalises what it adds to the stream; in the
    others the output of the attention or MLP module is added as it is.
    """
    if site == "resid_post":
        return layer
    normed = hasattr(layer, "post_feedforward_layernorm")
    if site == "attn_out":
        names = ("post_attention_layernorm",) if normed else ("self_attn", "attention", "attn")
    elif site == "mlp_out":
        names = ("post_feedforward_layernorm",) if normed else ("mlp", "feed_forward", "block_sparse_moe")
    else:
        raise PipelineError(f"unknown site {site}; it must be one of {', '.join(SITES)}")
    for name in names:
        if hasattr(layer, name):
            return getattr(layer, name)
    raise PipelineError(f"{type(layer).__name__} has no module for the site {site}; use resid_pre or resid_post")
