"""Whether a model is built as the hooks take it to be: asked of the model itself by a few tokens, when it is opened.

    resid_pre, resid_post     are the hidden states that the model itself returns
    attn_out, mlp_out         resid_pre + attn_out + mlp_out = resid_post
    upper layers              run from a stored resid_post they give the logits of the whole model
    output map of an MLP      the linear map whose output is what the MLP returns

Architectures with a multiplier, a second stream or inputs of their own at every layer fail one of these, and are
refused there by name, before any work.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import SITES, capture, decoder_layers, module_at, text_decoder, upper_layers

Point = tuple[int, str]
LINEAR = (nn.Linear, Conv1D)  # Conv1D is GPT-2's linear map, its weight [in, out]
N_TEXTS, N_TOKENS, PADDED = 2, 6, 2  # the second text is shorter by PADDED tokens


def check_stream(model: PreTrainedModel, layer: int) -> None:
    """Refuse a model whose ``resid_post`` of a layer is not what an edit takes it for."""
    check_points(model, [(layer, "resid_post")])


def check_points(model: PreTrainedModel, points: Iterable[Point]) -> None:
    """Refuse a model of which a hook point would give something else than its name says."""
    points = list(points)
    layers = {layer for layer, _ in points}
    split = {layer for layer, site in points if site in ("attn_out", "mlp_out")}
    wanted = {(layer, site) for layer in layers for site in (SITES if layer in split else ("resid_pre", "resid_post"))}
    with _asking(model, "the residual stream"):
        ids_bt, mask_bt = _tokens(model)
        states = _hidden_states(model, ids_bt, mask_bt, layers)
        names = {f"{layer}.{site}": (layer, site) for layer, site in wanted}
        with capture(model, names) as acts:
            model(input_ids=ids_bt, attention_mask=mask_bt)
        seen = {names[name]: tensor for name, tensor in acts.items()}
        missing = sorted(wanted - set(seen))
        if missing:
            raise _refusal(model, f"{missing[0][1]} of layer {missing[0][0]} is never computed")
        text_bt = mask_bt.bool()
        for (layer, site), acts in seen.items():
            if acts.shape != (*text_bt.shape, model.config.get_text_config().hidden_size):
                shape = tuple(acts.shape)
                raise _refusal(model, f"{site} of layer {layer} has shape {shape}, not [texts, tokens, width]")
            _check_finite(model, acts[text_bt], f"{site} of layer {layer}")
        for layer in sorted(layers):
            _check_states(model, layer, seen, states, text_bt)
        for layer in sorted(split):
            _check_sum(model, layer, [seen[layer, site] for site in SITES], text_bt)


def check_upper_layers(model: PreTrainedModel, layer: int) -> None:
    """Refuse a model whose upper layers, run from a stored stream, do not give the logits of the whole model."""
    with _asking(model, f"the layers above layer {layer}"):
        ids_bt, mask_bt = _tokens(model)
        whole_btv = model(input_ids=ids_bt, attention_mask=mask_bt, use_cache=False).logits
        with capture(model, {"resid": (layer, "resid_post")}) as acts:
            model(input_ids=ids_bt, attention_mask=mask_bt)
        with upper_layers(model, layer) as run:
            upper_btv = run(acts["resid"], mask_bt)
    text_bt = mask_bt.bool()
    _check_finite(model, whole_btv[text_bt], "the logits")
    if not _equal(upper_btv[text_bt], whole_btv[text_bt]):
        raise _refusal(
            model, f"its layers above layer {layer} need more than the residual stream and give other logits from it"
        )


def output_map(model: PreTrainedModel, layer: int) -> nn.Module:
    """The linear map whose output is what a layer's MLP returns; a mixture of experts has none."""
    mlp = module_at(decoder_layers(model)[layer], "mlp")
    maps = [module for module in mlp.modules() if isinstance(module, LINEAR)]
    with _asking(model, f"the MLP of layer {layer}"):
        runs = _runs(model, [mlp, *maps])
    for module in reversed(maps):
        if len(runs[module]) == len(runs[mlp]) == 1 and _same_numbers(runs[module][0].output, runs[mlp][0].output):
            return module
    raise _refusal(
        model,
        f"the MLP of layer {layer} returns the output of no linear map (a mixture of experts?); rmu trains one",
    )


def linear_maps(model: PreTrainedModel, layers: Iterable[int]) -> dict[str, nn.Module]:
    """Name -> every linear map in some decoder layers; refused where a matrix is in none that reads all tokens."""
    names = {module: name for name, module in model.named_modules()}
    found: dict[str, nn.Module] = {}
    for layer in (decoder_layers(model)[i] for i in layers):
        maps = [module for module in layer.modules() if isinstance(module, LINEAR)]
        found |= {names[module]: module for module in maps}
        owned = {id(module.weight) for module in maps}
        for name, weight in layer.named_parameters():
            if weight.ndim > 2 or (weight.ndim == 2 and id(weight) not in owned):
                raise _refusal(
                    model, f"the weights {name} {tuple(weight.shape)} of a layer are no linear map, which adapters need"
                )
    with _asking(model, "the linear maps"):
        runs = _runs(model, found.values())
    for name, module in found.items():
        if [run.input.shape[:-1] for run in runs[module]] != [(N_TEXTS, N_TOKENS)]:
            raise _refusal(model, f"the linear map {name} does not read every token once, which adapters need")
    return found


class Run(NamedTuple):
    """What went into a module and what came out."""

    input: torch.Tensor
    output: torch.Tensor


def _runs(model: PreTrainedModel, modules: Iterable[nn.Module]) -> dict[nn.Module, list[Run]]:
    """Every run of some modules in one call on a few tokens."""
    runs: dict[nn.Module, list[Run]] = {module: [] for module in modules}

    def keep(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        given = args[0] if args else next(iter(kwargs.values()))
        out = output[0] if isinstance(output, tuple) else output
        runs[module].append(Run(given, out.clone()))  # some models go on to add to it in place

    ids_bt, mask_bt = _tokens(model)
    with contextlib.ExitStack() as hooks:
        for module in runs:
            hooks.callback(module.register_forward_hook(keep, with_kwargs=True).remove)
        model(input_ids=ids_bt, attention_mask=mask_bt, use_cache=False)
    return runs


def _same_numbers(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.numel() == other.numel() and torch.equal(one.reshape(-1), other.reshape(-1))


def is_transposed(module: nn.Module) -> bool:
    """Whether a linear map keeps its weight as [in, out]."""
    return isinstance(module, Conv1D)


def _tokens(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Two texts of a few tokens from all over the vocabulary, and their mask; the second is padded on the right."""
    numbers = torch.arange(N_TEXTS * N_TOKENS, device=model.device)
    ids_bt = ((numbers * 7919 + 11) % model.config.get_text_config().vocab_size).reshape(N_TEXTS, N_TOKENS)
    mask_bt = torch.ones_like(ids_bt)
    mask_bt[1:, -PADDED:] = 0
    return ids_bt, mask_bt


def _hidden_states(
    model: PreTrainedModel, ids_bt: torch.Tensor, mask_bt: torch.Tensor, layers: set[int]
) -> tuple[torch.Tensor, ...]:
    """The hidden states that the model returns: what enters its first layer, then what leaves every layer."""
    modules = decoder_layers(model)
    calls = dict.fromkeys(layers, 0)
    with contextlib.ExitStack() as hooks:
        for layer in (layer for layer in layers if 0 <= layer < len(modules)):

            def count(*ignored: object, layer: int = layer) -> None:
                calls[layer] += 1

            hooks.callback(modules[layer].register_forward_pre_hook(count).remove)
        out = model(input_ids=ids_bt, attention_mask=mask_bt, output_hidden_states=True, use_cache=False)
    again = next((layer for layer, times in calls.items() if times > 1), None)
    if again is not None:
        raise _refusal(model, f"layer {again} runs {calls[again]} times for each token")
    states = out.hidden_states
    if states is None or len(states) != len(modules) + 1:
        found = "no" if states is None else len(states)
        raise _refusal(model, f"it returns {found} hidden states for {len(modules)} layers")
    return states


def _check_states(
    model: PreTrainedModel,
    layer: int,
    seen: dict[Point, torch.Tensor],
    states: tuple[torch.Tensor, ...],
    text_bt: torch.Tensor,
) -> None:
    """The stream before and after a layer against the hidden states.

    The last state may have passed the final norm; some models leave out the first one, and return the last one twice.
    """

    def found(site: str, number: int) -> bool:
        acts, state = seen[layer, site], states[number]
        candidates = itertools.chain([acts], _normed(model, acts) if number == len(states) - 1 else [])
        return any(state.shape == one.shape and _equal(one[text_bt], state[text_bt]) for one in candidates)

    without_first = (layer == 0 or found("resid_pre", layer - 1)) and found("resid_post", layer)
    for site, number in (("resid_pre", layer), ("resid_post", layer + 1)):
        if not without_first and not found(site, number):
            raise _refusal(model, f"{site} of layer {layer} is not the hidden state that the model returns there")


def _normed(model: PreTrainedModel, acts_btd: torch.Tensor) -> Iterator[torch.Tensor]:
    """The stream behind each norm that stands beside the decoder layers."""
    for child in text_decoder(model).children():
        if "norm" in type(child).__name__.lower():
            yield child(acts_btd)


def _check_sum(model: PreTrainedModel, layer: int, sites: list[torch.Tensor], text_bt: torch.Tensor) -> None:
    pre, attn, mlp, post = (acts[text_bt].float() for acts in sites)
    change = (post - pre).norm()
    error = (pre + attn + mlp - post).norm()
    rounding = torch.finfo(sites[0].dtype).eps * post.norm()
    if not error <= 1e-3 * change + rounding:
        raise _refusal(
            model,
            f"resid_pre + attn_out + mlp_out of layer {layer} miss resid_post by {error / change:.0%} of what the "
            "layer adds; cache resid_pre or resid_post",
        )


def _check_finite(model: PreTrainedModel, acts: torch.Tensor, where: str) -> None:
    """What cannot be computed is no matter of structure: float16 ends at 65504, which Gemma's stream exceeds."""
    if not acts.isfinite().all():
        half = acts.dtype == torch.float16
        change = (
            "set `language_model.dtype` to bfloat16 or float32" if half else "its weights are damaged; copy it again"
        )
        dtype = str(acts.dtype).removeprefix("torch.")
        raise PipelineError(f"{type(model).__name__} computes no finite numbers in {dtype} at {where}: {change}")


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the rounding of their dtype; the same operations on the same numbers differ by none or little."""
    tolerance = max(1e-4, 2 * torch.finfo(one.dtype).eps)
    one, other = one.double(), other.double()  # the norm of float16 numbers may be beyond float16
    return bool((one - other).norm() <= tolerance * other.norm())


@contextlib.contextmanager
def _asking(model: PreTrainedModel, about: str) -> Iterator[None]:
    """A call without gradients and dropout; whatever an unknown architecture raises becomes a refusal."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    except PipelineError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise _refusal(model, f"{about} cannot be run by a few tokens ({type(error).__name__}: {reason})") from error
    finally:
        model.train(was_training)


def _refusal(model: PreTrainedModel, reason: str) -> PipelineError:
    return PipelineError(f"{type(model).__name__} is not built as this needs: {reason}")
