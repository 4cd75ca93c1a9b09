"""Dictionaries on disk: SAELens' folder (written and read) and Gemma Scope's ``params.npz`` (read).

A folder holds ``cfg.json`` and ``sae_weights.safetensors`` as ``sae_lens.SAE.load_from_disk`` (6.x) wants them, so that
sae-bench and others open it as it is. A dictionary that someone else trained can stand in place of a trained one, if it
was made for the same place of the same model.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipeline.core.errors import PipelineError
from pipeline.core.files import check_sums, write_json
from pipeline.core.weight_files import safetensors_header
from pipeline.sae import sae_lens_config
from pipeline.sae.dictionary import Dictionary

CONFIG, WEIGHTS, GEMMA_SCOPE = "cfg.json", "sae_weights.safetensors", "params.npz"
_FORMAT = "6.37.0"  # the SAELens release whose folder layout this is; without it SAELens assumes its version 5
# Names under which TransformerLens, and so SAELens, knows models of the hub.
_ALIASES = {"gpt2-small": "gpt2"}
# Where the sites of Gemma Scope's repositories lie in the model; their attention site is inside the attention.
_GEMMA_SITES = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_z"}


def save_dictionary(folder: Path, dictionary: Dictionary, metadata: Mapping[str, Any]) -> None:
    """Write a SAELens folder; ``metadata`` (model_name, hook_name, ...) goes to ``cfg.json`` as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture = _architecture(dictionary)
    tensors = {name: tensor.detach().cpu() for name, tensor in dictionary.named_parameters()}
    if architecture != "jumprelu":
        del tensors["threshold"]  # SAELens refuses tensors that the architecture does not know
    config = {
        "architecture": architecture,
        "d_in": dictionary.d_model,
        "d_sae": dictionary.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {**metadata, "sae_lens_version": _FORMAT},
    }
    if architecture == "topk":
        config |= {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    save_file(tensors, folder / WEIGHTS)
    write_json(folder / CONFIG, config)


def load_dictionary(folder: Path) -> Dictionary:
    """Open a SAELens folder, or a folder with (or the path of) Gemma Scope's ``params.npz``."""
    if folder.suffix == ".npz":
        return _gemma_scope(folder)
    if (folder / GEMMA_SCOPE).exists():
        return _gemma_scope(folder / GEMMA_SCOPE)
    if not (folder / CONFIG).exists() or not (folder / WEIGHTS).exists():
        raise PipelineError(
            f"{folder} holds no sparse autoencoder ({CONFIG} with {WEIGHTS}, or {GEMMA_SCOPE}); "
            "run `uv run dvc repro train_sae`"
        )
    config = _config(folder / CONFIG)
    safetensors_header(folder / WEIGHTS)
    check_sums(folder, CONFIG, WEIGHTS)
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise PipelineError(
            f"{folder / WEIGHTS} cannot be read ({' '.join(str(error).split())!a}); copy it again"
        ) from None
    return sae_lens_config.dictionary_of(config, tensors, folder)


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise PipelineError(f"{path} is not JSON; copy the dictionary again") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path} holds no mapping but a {type(content).__name__}; copy the dictionary again")
    return content


def _architecture(dictionary: Dictionary) -> str:
    if dictionary.k is not None:
        return "topk"
    return "jumprelu" if bool(dictionary.threshold.any()) else "standard"


def _gemma_scope(path: Path) -> Dictionary:
    """JumpReLU weights as Lieberum et al. 2024 published them; b_dec is not subtracted from the input."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tensors = {name.lower(): torch.from_numpy(arrays[name]) for name in arrays.files}
        return Dictionary(*(tensors[name] for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold")))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing") from None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PipelineError(f"{path} is not a Gemma Scope {GEMMA_SCOPE}: {error or 'it is empty'}") from None


def load_pretrained(source: str, d_model: int) -> Dictionary:
    """``source`` is a local folder or ``params.npz``, or ``repository:folder`` on the hub.

    For example ``google/gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_82``.
    """
    dictionary = load_dictionary(_place(source))
    if dictionary.d_model != d_model:
        raise PipelineError(
            f"`sae.pretrained` {source} reads activations of width {dictionary.d_model}, but the store's have width "
            f"{d_model}; it belongs to another model"
        )
    return dictionary


def check_origin(source: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a dictionary of another model, layer or site than ``metadata`` names; returns what it says of its own.

    A width alone tells little: all layers of a model have it, and many models.
    """
    found = pretrained_origin(_place(source))
    for key, value in found.items():
        wanted = metadata.get(key)
        if wanted is not None and _plain(key, value) != _plain(key, wanted):
            raise PipelineError(
                f"`sae.pretrained` {source} was trained on {key} {value}, but this run reads {wanted}; choose another, "
                f"or, if both are the same under two names, change `{key}` in its {CONFIG}"
            )
    return found


def pretrained_origin(place: Path) -> dict[str, Any]:
    """``model_name``, ``hook_name`` and ``hook_layer`` of a dictionary, as far as its files or their path say."""
    if (place / CONFIG).exists() and not (place / GEMMA_SCOPE).exists():
        return sae_lens_config.origin(_config(place / CONFIG))
    layer = re.search(r"/layer_(\d+)/width_", f"{place.as_posix()}/")
    site = re.search(r"gemma-scope-\w+-\w+-(res|mlp|att)\b", place.as_posix())
    found: dict[str, Any] = {"hook_layer": int(layer[1])} if layer else {}
    if layer and site:
        found["hook_name"] = f"blocks.{layer[1]}.hook_{_GEMMA_SITES[site[1]]}"
    return found


def _plain(key: str, value: Any) -> str:
    """A model without its owner and case; anything else as it is."""
    if key != "model_name":
        return str(value)
    name = str(value).rstrip("/").rpartition("/")[2].lower()
    return _ALIASES.get(name, name)


def _place(source: str) -> Path:
    try:
        path = Path(source).expanduser()
    except RuntimeError:  # ~name of a user whom this machine does not know
        path = Path(source)
    if path.exists():
        return path
    repository, colon, folder = source.partition(":")
    if not colon or not folder:
        raise PipelineError(f"`sae.pretrained` {source} does not exist (on the hub it would be repository:folder)")
    try:
        return Path(snapshot_download(repository, allow_patterns=f"{folder}/*")) / folder
    except Exception as error:  # of the hub's library, and of whichever HTTP library it uses
        reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0]
        raise PipelineError(
            f"`sae.pretrained` {source} cannot be fetched ({reason}); with no network, give a folder on this machine"
        ) from None
