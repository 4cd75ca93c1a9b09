"""What a SAELens configuration means, read as SAELens 6 itself reads it, or refused by name.

SAELens folds nothing that it saves: subtraction of ``b_dec`` from the input and rescaling of codes by decoder norms
happen at run time there. Here they are folded into the weights, so that a dictionary is weights and a rule.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.core.errors import PipelineError
from pipeline.sae.dictionary import Dictionary

_TENSORS = {
    "standard": {"W_enc", "b_enc", "W_dec", "b_dec"},
    "jumprelu": {"W_enc", "b_enc", "W_dec", "b_dec", "threshold"},
    "topk": {"W_enc", "b_enc", "W_dec", "b_dec"},
}
# What SAELens 5 wrote under other names.
_RENAMED = {"hook_point": "hook_name", "activation_fn_str": "activation_fn"}
_WHERE = ("model_name", "hook_name", "hook_layer")


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of any release in the words of SAELens 6, its defaults filled in."""
    metadata = config.get("metadata") if isinstance(config.get("metadata"), dict) else {}
    version = config.get("sae_lens_version") or metadata.get("sae_lens_version")
    new = {_RENAMED.get(key, key): value for key, value in config.items()}
    generation = str(version).split(".")[0]
    if not (generation.isdecimal() and int(generation) >= 6):
        metadata = {key: new[key] for key in _WHERE if key in new}
        new.setdefault("architecture", "standard")
        new.setdefault("reshape_activations", "hook_z" if "hook_z" in str(new.get("hook_name", "")) else "none")
        arguments = new.get("activation_fn_kwargs")
        k = arguments.get("k") if isinstance(arguments, dict) else None
        if new.get("activation_fn") == "topk" and k is not None:
            new |= {"architecture": "topk", "k": k}
        if isinstance(new.get("normalize_activations"), bool):
            new["normalize_activations"] = "expected_average_only_in" if new["normalize_activations"] else "none"
    return new | {"metadata": metadata}


def origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """Model, hook point and layer that a dictionary was trained on, as far as its configuration says."""
    metadata = current(config)["metadata"]
    return {key: metadata[key] for key in _WHERE if metadata.get(key) is not None}


def dictionary_of(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], where: Path) -> Dictionary:
    """The dictionary that SAELens would make of a configuration and its weights."""
    config = current(config)
    architecture = _architecture(config, where)
    tensors = _checked(dict(tensors), architecture, config, where)
    W_enc, W_dec = tensors["W_enc"].float(), tensors["W_dec"].float()
    b_enc, b_dec = tensors["b_enc"].float(), tensors["b_dec"].float()
    if _switch(config, "apply_b_dec_to_input", True, where):
        b_enc = b_enc - b_dec @ W_enc
    k = _k(config, len(b_enc), where) if architecture == "topk" else None
    if k is not None and _switch(config, "rescale_acts_by_decoder_norm", False, where):
        norm_s = W_dec.norm(dim=1)
        W_enc, b_enc, W_dec = W_enc * norm_s, b_enc * norm_s, W_dec / norm_s[:, None]
    threshold = tensors["threshold"].float().clamp(min=0) if architecture == "jumprelu" else None  # behind a ReLU
    return Dictionary(W_enc, b_enc, W_dec, b_dec, threshold, k)


def _architecture(config: Mapping[str, Any], where: Path) -> str:
    """The architecture; refused is every other, and every key that would change what the codes are."""
    architecture = config.get("architecture")
    if architecture not in tuple(_TENSORS):
        raise PipelineError(f"{where}: architecture {architecture!r} is not {', '.join(_TENSORS)}")
    usual = {
        "activation_fn": ("relu", None) if architecture != "topk" else ("topk", "relu", None),
        "normalize_activations": ("none", None),
        "reshape_activations": ("none", None),
        "finetuning_scaling_factor": (False, None),
        "hook_head_index": (None,),
    }
    inside = {**config["metadata"], **config}
    for key, values in usual.items():
        if inside.get(key) not in values:
            raise PipelineError(f"{where}: {key} is {inside[key]!r}, which cannot be read; fold it in with SAELens")
    return architecture


def _k(config: Mapping[str, Any], d_sae: int, where: Path) -> int:
    k = config.get("k")
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= d_sae:
        raise PipelineError(f"{where}: k is {k!r}; a topk dictionary of {d_sae} latents needs 1 to {d_sae}")
    return k


def _switch(config: Mapping[str, Any], key: str, default: bool, where: Path) -> bool:
    """SAELens' own readers disagree about what is neither true nor false."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise PipelineError(f"{where}: {key} is {value!r}; it must be true or false")
    return value


def _checked(
    tensors: dict[str, torch.Tensor], architecture: str, config: Mapping[str, Any], where: Path
) -> dict[str, torch.Tensor]:
    """The tensors of the architecture, of fitting shapes, and nothing else; SAELens drops a scaling by one as well."""
    scaling = tensors.pop("scaling_factor", torch.ones(1))
    if not torch.allclose(scaling.float(), torch.ones(1)):
        raise PipelineError(f"{where}: it has a scaling_factor, which cannot be read; fold it in with SAELens")
    wanted = _TENSORS[architecture]
    if tensors.keys() != wanted:
        odd = ", ".join(sorted(tensors.keys() ^ wanted))
        names = ", ".join(sorted(wanted))
        raise PipelineError(f"{where}: a {architecture} dictionary has {names}, and no others; what differs is {odd}")
    if tensors["W_enc"].ndim != 2:
        raise PipelineError(f"{where}: W_enc has the shape {tuple(tensors['W_enc'].shape)}; it must be [d_in, d_sae]")
    d_in, d_sae = tensors["W_enc"].shape
    shapes = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    for name, tensor in tensors.items():
        shape = shapes.get(name, (d_sae,))
        if tuple(tensor.shape) != shape:
            raise PipelineError(f"{where}: {name} has the shape {tuple(tensor.shape)}, but W_enc asks for {shape}")
        if tensor.isnan().any() or (name != "threshold" and tensor.isinf().any()):
            raise PipelineError(f"{where}: {name} holds numbers that are not finite; the weights are damaged")
    for key, found in (("d_in", d_in), ("d_sae", d_sae)):
        if config.get(key, found) != found:
            raise PipelineError(f"{where}: {key} is {config[key]!r}, but the weights have {found}")
    return tensors
