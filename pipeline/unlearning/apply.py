"""Apply an edit: to a residual stream, to a model's weights, or to a live model for the length of a block."""

import contextlib
import inspect
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import rewriting
from pipeline.language_model.structure import check_stream
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.unlearning.edit import Edit, Guard, load_edit
from pipeline.unlearning.origin import refuse_others
from pipeline.unlearning.serving import Call, Past, follow, open_call


def check_fits(edit: Edit, dictionary: Dictionary, model: PreTrainedModel) -> None:
    """Refuse an edit made for another dictionary or another model."""
    d_sae, width = dictionary.d_sae, model.config.get_text_config().hidden_size
    named = [*edit.latents.tolist(), *(latent for group in edit.groups for latent in group)]
    if named and not 0 <= min(named) <= max(named) < d_sae:
        raise PipelineError(f"the edit `{edit.method}` names latents that a dictionary of {d_sae} does not have")
    if edit.guard and edit.guard.weight_s.shape != (d_sae,):
        raise PipelineError(
            f"the guard of `{edit.method}` has {len(edit.guard.weight_s)} weights, the dictionary {d_sae}"
        )
    if edit.shift is not None and edit.shift.shape != (dictionary.d_model,):
        raise PipelineError(
            f"the shift of `{edit.method}` has shape {tuple(edit.shift.shape)}, the residual ({dictionary.d_model},)"
        )
    parameters = dict(model.named_parameters())
    for name, tensor in edit.weights.items():
        there = parameters.get(name)
        if there is None or there.shape != tensor.shape:
            has = "which the model lacks" if there is None else f"which is {tuple(there.shape)} in the model"
            raise PipelineError(f"the edit `{edit.method}` replaces `{name}` {tuple(tensor.shape)}, {has}")
    if (len(edit.latents) or edit.guard) and dictionary.d_model != width:
        raise PipelineError(
            f"the edit `{edit.method}` acts through a dictionary of a stream {dictionary.d_model} wide, but the "
            f"model's is {width} wide; name the folder of the model's own dictionary"
        )
    if edit.origin:
        refuse_others(edit, dictionary, model)


def rewrite(edit: Edit, dictionary: Dictionary, resid_btd: torch.Tensor, editable_bt: torch.Tensor) -> torch.Tensor:
    """``x + (z' - z) W_dec + shift``, where ``z' = factor z + value`` for chosen latents that fire.

    What the dictionary leaves unexplained is kept. ``editable_bt`` is False on ``<bos>`` and padding, which are left
    alone; where there is a guard, so is every position at which it does not fire.
    """
    if not acts_on_the_stream(edit):
        return resid_btd
    where_bt = editable_bt & fires(edit.guard, dictionary, resid_btd, editable_bt) if edit.guard else editable_bt
    return change_at(edit, dictionary, resid_btd, where_bt)


def acts_on_the_stream(edit: Edit) -> bool:
    """Whether the edit needs a hook."""
    return len(edit.latents) > 0 or edit.shift is not None


def change_at(edit: Edit, dictionary: Dictionary, resid_btd: torch.Tensor, where_bt: torch.Tensor) -> torch.Tensor:
    """What ``rewrite`` does, at the positions given."""
    chosen_btk = dictionary.encode_some(resid_btd.float(), edit.latents)
    acts = where_bt[..., None] & (chosen_btk > 0)
    change_btk = torch.where(acts, (edit.factors - 1) * chosen_btk + edit.values, 0.0)
    change_btd = change_btk @ dictionary.W_dec[edit.latents]
    if edit.shift is not None:
        change_btd = change_btd + where_bt[..., None] * edit.shift
    return resid_btd + change_btd.to(resid_btd.dtype)


def fires(guard: Guard, dictionary: Dictionary, resid_btd: torch.Tensor, editable_bt: torch.Tensor) -> torch.Tensor:
    """Where the guard fires, bool [b, t]: a decision at each position on what came up to it."""
    return is_enough(guard, largest_so_far(guard, dictionary, resid_btd, editable_bt))


@torch.no_grad()
def is_enough(guard: Guard, seen_btg: torch.Tensor) -> torch.Tensor:
    return seen_btg @ guard.weight_s[_watched(guard)] + guard.bias > 0


def _watched(guard: Guard) -> torch.Tensor:
    return guard.weight_s.nonzero().squeeze(1)


@torch.no_grad()
def largest_so_far(
    guard: Guard,
    dictionary: Dictionary,
    resid_btd: torch.Tensor,
    editable_bt: torch.Tensor,
    before_bg: torch.Tensor | None = None,
) -> torch.Tensor:
    """The largest code up to each position, [b, t, g], of every latent that the guard watches.

    ``before_bg`` is that of the same texts' earlier tokens.
    """
    seen_btg = torch.where(editable_bt[..., None], dictionary.encode_some(resid_btd.float(), _watched(guard)), 0.0)
    if before_bg is not None:
        torch.maximum(seen_btg[:, 0], before_bg, out=seen_btg[:, 0])
    for t in range(1, seen_btg.shape[1]):  # torch's cummax takes ten times as long
        torch.maximum(seen_btg[:, t], seen_btg[:, t - 1], out=seen_btg[:, t])
    return seen_btg


@contextlib.contextmanager
def swapped(model: PreTrainedModel, weights: dict[str, torch.Tensor]) -> Iterator[None]:
    """Inside the block the named parameters hold ``weights``."""
    parameters = dict(model.named_parameters())
    kept = {name: parameters[name].detach().clone() for name in weights}
    try:
        _copy_into(parameters, weights)
        yield
    finally:
        _copy_into(parameters, kept)


@torch.no_grad()
def _copy_into(parameters: dict[str, torch.nn.Parameter], weights: dict[str, torch.Tensor]) -> None:
    for name, tensor in weights.items():
        parameters[name].copy_(tensor)


@contextlib.contextmanager
def unlearned(
    model: PreTrainedModel, folder: Path | str, sae_folder: Path | str = "data/sae"
) -> Iterator[PreTrainedModel]:
    """Inside the block ``model`` has forgotten what the edit in ``folder`` removes.

    Works on the model and dictionary that the edit was made for, however a text is fed: at once, in chunks over a
    cache, while generating, with beams. One at a time: the weights of an edit are not those that another one expects.
    """
    edit, dictionary = load_edit(Path(folder)), load_dictionary(Path(sae_folder)).to(model.device)
    check_fits(edit, dictionary, model)
    if acts_on_the_stream(edit):
        check_stream(model, edit.layer)
    with applied(model, edit, dictionary):
        yield model


@contextlib.contextmanager
def applied(model: PreTrainedModel, edit: Edit, dictionary: Dictionary) -> Iterator[None]:
    """Inside the block the model runs under an edit; gradients flow through it where they are enabled."""
    live = _Live(edit, dictionary, model)
    with contextlib.ExitStack() as block:
        if edit.weights or live.acts:
            block.callback(model.register_forward_pre_hook(live.look, with_kwargs=True).remove)
            block.callback(model.register_forward_hook(live.done, with_kwargs=True, always_call=True).remove)
        block.enter_context(swapped(model, edit.weights))
        if live.acts:
            block.enter_context(rewriting(model, edit.layer, "resid_post", live.rewrite))
        yield


def on(device: torch.device, edit: Edit) -> Edit:
    """The edit with what ``rewrite`` reads on a device; weights are copied from wherever they are."""
    guard = edit.guard and edit.guard._replace(weight_s=edit.guard.weight_s.to(device))
    shift = None if edit.shift is None else edit.shift.to(device)
    latents, values, factors = (tensor.to(device) for tensor in (edit.latents, edit.values, edit.factors))
    return edit._replace(latents=latents, values=values, factors=factors, guard=guard, shift=shift)


class _Live:
    """One model's hooks: which positions of a call may be edited, and what the guard saw of the texts before it."""

    def __init__(self, edit: Edit, dictionary: Dictionary, model: PreTrainedModel) -> None:
        self.edit, self.dictionary, self.model = on(model.device, edit), dictionary, model
        self.acts = acts_on_the_stream(edit)
        self.bos = edit.origin.bos if edit.origin else getattr(model.config.get_text_config(), "bos_token_id", None)
        self.arguments = tuple(inspect.signature(model.forward).parameters)
        self.owner = uuid.uuid4().hex  # of what is kept in a cache
        self.call: Call | None = None
        self.past: Past | None = None  # at the end of the call

    def look(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        """Before a call of the model."""
        given = dict(zip(self.arguments, args, strict=False)) | kwargs
        self.call = open_call(module, given, self.bos, self.owner, self.edit.guard is not None)
        self.past = None if self.acts else self._with(self.call.editable_bt.new_empty(*self.call.editable_bt.shape, 0))

    def rewrite(self, resid_btd: torch.Tensor) -> torch.Tensor:
        """At the edited layer."""
        if self.call is None or resid_btd.shape[:2] != self.call.editable_bt.shape or resid_btd.ndim != 3:
            raise PipelineError(
                "the edited layer ran outside a call of the whole model; call the model itself, on text alone and "
                "without gradient checkpointing"
            )
        guard, editable_bt = self.edit.guard, self.call.editable_bt.to(resid_btd.device)
        if guard is None:
            self.past = self._with(resid_btd[..., :0])
            return change_at(self.edit, self.dictionary, resid_btd, editable_bt)
        seen_btg = largest_so_far(guard, self.dictionary, resid_btd, editable_bt, self._largest_before())
        self.past = self._with(resid_btd.detach(), seen_btg[:, -1])
        return change_at(self.edit, self.dictionary, resid_btd, editable_bt & is_enough(guard, seen_btg))

    def done(self, module: torch.nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        """After a call of the model, also after one that failed."""
        if output is not None and self.call is not None and self.past is not None:
            follow(self.call, output, self.owner, self.past)
        self.call = self.past = None

    def _largest_before(self) -> torch.Tensor | None:
        before = self.call.past if self.call else None
        if before is None or not before.editable_bt.shape[1]:
            return None
        if before.largest_bg is not None:
            return before.largest_bg
        return largest_so_far(self.edit.guard, self.dictionary, before.resid_btd, before.editable_bt)[:, -1]

    def _with(self, resid_btd: torch.Tensor, largest_bg: torch.Tensor | None = None) -> Past:
        """The past and this call's tokens."""
        if largest_bg is None:
            largest_bg = resid_btd[:, 0]
        before, editable_bt = self.call.past, self.call.editable_bt.to(resid_btd.device)
        if before is None:
            return Past(resid_btd, editable_bt, largest_bg)
        return before.followed_by(resid_btd, editable_bt, largest_bg)
