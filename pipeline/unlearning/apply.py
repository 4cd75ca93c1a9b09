"""Apply an edit: to a residual stream, to a model's weights, or to a live model for the length of a block."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedModel

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import rewriting
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.unlearning.edit import Edit, Guard, load_edit


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


def rewrite(edit: Edit, dictionary: Dictionary, resid_btd: torch.Tensor, editable_bt: torch.Tensor) -> torch.Tensor:
    """``x + (z' - z) W_dec + shift``, where ``z' = factor z + value`` for chosen latents that fire.

    What the dictionary leaves unexplained is kept. ``editable_bt`` is False on ``<bos>`` and padding, which are left
    alone; where there is a guard, so is every position at which it does not fire.
    """
    if not len(edit.latents) and edit.shift is None:
        return resid_btd
    where_bt = editable_bt & fires(edit.guard, dictionary, resid_btd, editable_bt) if edit.guard else editable_bt
    chosen_btk = dictionary.encode_some(resid_btd.float(), edit.latents)
    acts = where_bt[..., None] & (chosen_btk > 0)
    change_btk = torch.where(acts, (edit.factors - 1) * chosen_btk + edit.values, 0.0)
    change_btd = change_btk @ dictionary.W_dec[edit.latents]
    if edit.shift is not None:
        change_btd = change_btd + where_bt[..., None] * edit.shift
    return resid_btd + change_btd.to(resid_btd.dtype)


@torch.no_grad()
def fires(guard: Guard, dictionary: Dictionary, resid_btd: torch.Tensor, editable_bt: torch.Tensor) -> torch.Tensor:
    """Where the guard fires, bool [b, t]: a decision at each position on what came up to it."""
    latents = guard.weight_s.nonzero().squeeze(1)
    seen_btg = torch.where(editable_bt[..., None], dictionary.encode_some(resid_btd.float(), latents), 0.0)
    for t in range(1, seen_btg.shape[1]):  # the largest so far; torch's cummax takes ten times as long
        torch.maximum(seen_btg[:, t], seen_btg[:, t - 1], out=seen_btg[:, t])
    return seen_btg @ guard.weight_s[latents] + guard.bias > 0


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

    Works on any transformers model that the edit fits, also while it generates. Special tokens are recognised in
    ``input_ids``, so call the model with those. One at a time: inside another block, the weights of the inner edit
    replace those of the outer.
    """
    edit, dictionary = load_edit(Path(folder)), load_dictionary(Path(sae_folder)).to(model.device)
    check_fits(edit, dictionary, model)
    with applied(model, edit, dictionary):
        yield model


@contextlib.contextmanager
def applied(model: PreTrainedModel, edit: Edit, dictionary: Dictionary) -> Iterator[None]:
    """Inside the block the model runs under an edit; gradients flow through it where they are enabled."""
    live = _Live(edit, dictionary, model)
    handle = model.register_forward_pre_hook(live.look, with_kwargs=True)
    try:
        with swapped(model, edit.weights), rewriting(model, edit.layer, "resid_post", live.rewrite):
            yield
    finally:
        handle.remove()


def on(device: torch.device, edit: Edit) -> Edit:
    """The edit with what ``rewrite`` reads on a device; weights are copied from wherever they are."""
    guard = edit.guard and edit.guard._replace(weight_s=edit.guard.weight_s.to(device))
    shift = None if edit.shift is None else edit.shift.to(device)
    latents, values, factors = (tensor.to(device) for tensor in (edit.latents, edit.values, edit.factors))
    return edit._replace(latents=latents, values=values, factors=factors, guard=guard, shift=shift)


class _Live:
    """One model's hook: which positions may be edited, and what the guard has seen before a cached step."""

    def __init__(self, edit: Edit, dictionary: Dictionary, model: PreTrainedModel) -> None:
        self.edit = on(model.device, edit)
        self.dictionary = dictionary
        config = model.config.get_text_config()
        special = [config.bos_token_id, config.pad_token_id]
        self.special = torch.tensor([token for token in special if token is not None], device=model.device)
        self.editable_bt = torch.empty(0)
        self.before_btd: torch.Tensor | None = None

    def look(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        ids_bt = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        self.editable_bt = ~torch.isin(ids_bt, self.special)

    def rewrite(self, resid_btd: torch.Tensor) -> torch.Tensor:
        if not self.edit.guard:
            return rewrite(self.edit, self.dictionary, resid_btd, self.editable_bt)
        # A guard judges the whole text so far; a cached generation step shows the last token only.
        if resid_btd.shape[1] > 1 or self.before_btd is None:
            self.before_btd, seen = resid_btd, self.editable_bt
        else:
            self.before_btd = torch.cat([self.before_btd, resid_btd], dim=1)
            seen = torch.cat([self.seen_bt, self.editable_bt], dim=1)
        self.seen_bt = seen
        return rewrite(self.edit, self.dictionary, self.before_btd, seen)[:, -resid_btd.shape[1] :]
