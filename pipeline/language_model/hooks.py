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


def text_decoder(model: PreTrainedModel) -> nn.Module:
    """The part that holds the decoder layers of text: in a model that also sees or hears, not the tower for that."""
    return _decoder_and_layers(model)[0]


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of decoder layers: the outermost module list of the text decoder with one entry per hidden layer."""
    return _decoder_and_layers(model)[1]


def _decoder_and_layers(model: PreTrainedModel) -> tuple[nn.Module, nn.ModuleList]:
    n_layers = model.config.get_text_config().num_hidden_layers
    for decoder in (model.get_decoder(), model.base_model):  # some call their head `decoder`
        for module in decoder.modules():
            if isinstance(module, nn.ModuleList) and len(module) == n_layers:
                return decoder, module
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
    length = _length_of_output(model, lower[0])
    passing = [_PassThrough(one, length) for one in lower]

    def run(resid_btd: torch.Tensor, attention_mask_bt: torch.Tensor | None = None) -> torch.Tensor:
        for through in passing:
            through.resid_btd = resid_btd
        out = model(inputs_embeds=resid_btd, attention_mask=attention_mask_bt, use_cache=False)
        return out.logits

    try:
        for index, through in enumerate(passing):
            layers[index] = through
        yield run
    finally:
        for index, module in enumerate(lower):
            layers[index] = module


class _PassThrough(nn.Module):
    """Stands for a layer and returns a stored residual stream, whatever it is given."""

    def __init__(self, layer: nn.Module, length: int | None) -> None:
        super().__init__()
        self.stands_for = (layer,)  # in a tuple: it is no part of this module
        self.length = length  # of the tuple that the layer returns; None where it returns the stream alone
        self.resid_btd = torch.empty(0)

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor | tuple[torch.Tensor | None, ...]:
        return self.resid_btd if self.length is None else (self.resid_btd, *[None] * (self.length - 1))

    def __getattr__(self, name: str) -> Any:
        """A model may ask its layers what kind they are."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.stands_for[0], name)


def _length_of_output(model: PreTrainedModel, layer: nn.Module) -> int | None:
    """The length of the tuple that the layers return, None where they return a tensor; found by one token."""
    found: list[int | None] = []

    def look(module: nn.Module, args: Any, output: Any) -> None:
        found.append(len(output) if isinstance(output, tuple) else None)
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
            edited = (_or(edit(output[0]), output[0]), *output[1:])
            return output._make(edited) if hasattr(output, "_make") else edited  # some are named tuples
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


_PARTS = {
    "attn": ("self_attn", "attention", "attn", "self_attention"),
    "mlp": ("mlp", "feed_forward", "block_sparse_moe", "ffn"),
}
# Norms through which a layer passes what it adds to the stream (Gemma 2 and 3, OLMo 2, GLM 4).
_NORMS = {
    "attn": ("post_self_attn_layernorm", "post_attention_layernorm"),
    "mlp": ("post_mlp_layernorm", "post_feedforward_layernorm"),
}


def _module_at(layer: nn.Module, site: str) -> nn.Module:
    """The module whose output is the activation at ``site``; whether the parts add up is for ``structure`` to check."""
    if site == "resid_post":
        return layer
    if site not in SITES:
        raise PipelineError(f"unknown site {site}; it must be one of {', '.join(SITES)}")
    part = site.removesuffix("_out")
    if any(hasattr(layer, name) for name in _NORMS["mlp"]):
        return next(getattr(layer, name) for name in _NORMS[part] if hasattr(layer, name))
    return module_at(layer, part)


def module_at(layer: nn.Module, part: str) -> nn.Module:
    """The module that is a layer's ``attn`` or ``mlp``."""
    for name in _PARTS[part]:
        if getattr(layer, name, None) is not None:
            return getattr(layer, name)
    raise PipelineError(f"{type(layer).__name__} has no module for its {part}; use resid_pre or resid_post")
