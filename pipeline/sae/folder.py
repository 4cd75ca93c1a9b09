"""Dictionaries on disk: SAELens' folder (written and read) and Gemma Scope's ``params.npz`` (read).

A folder holds ``cfg.json`` and ``sae_weights.safetensors`` as ``sae_lens.SAE.load_from_disk`` (6.x) wants
them, so that sae-bench and others open it as it is.

A dictionary that someone else trained, in place of training one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json
from pipeline.sae.dictionary import Dictionary

CONFIG, WEIGHTS, GEMMA_SCOPE = "cfg.json", "sae_weights.safetensors", "params.npz"
_FORMAT = "6.37.0"  # the SAELens release whose folder layout this is; without it SAELens assumes its version 5


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
    return _sae_lens(read_json(folder / CONFIG), load_file(folder / WEIGHTS), folder)


def _architecture(dictionary: Dictionary) -> str:
    if dictionary.k is not None:
        return "topk"
    return "jumprelu" if bool(dictionary.threshold.any()) else "standard"


def _sae_lens(config: Mapping[str, Any], tensors: dict[str, torch.Tensor], where: Path) -> Dictionary:
    """Fold what SAELens leaves to run time (b_dec at the input, decoder norms) into the weights."""
    architecture = config.get("architecture")
    if architecture not in ("standard", "jumprelu", "topk"):
        raise PipelineError(f"{where}: architecture {architecture!r} is not standard, jumprelu or topk")
    if config.get("normalize_activations", "none") != "none":
        raise PipelineError(
            f"{where}: normalize_activations is {config['normalize_activations']!r}; fold it into the weights"
            " with SAELens"
        )
    W_enc, W_dec = tensors["W_enc"].float(), tensors["W_dec"].float()
    b_enc, b_dec = tensors["b_enc"].float(), tensors["b_dec"].float()
    if config.get("apply_b_dec_to_input", True):
        b_enc = b_enc - b_dec @ W_enc
    if config.get("rescale_acts_by_decoder_norm", False):
        norm_s = W_dec.norm(dim=1)
        W_enc, b_enc, W_dec = W_enc * norm_s, b_enc * norm_s, W_dec / norm_s[:, None]
    k = config["k"] if architecture == "topk" else None
    return Dictionary(W_enc, b_enc, W_dec, b_dec, tensors.get("threshold"), k)


def _gemma_scope(path: Path) -> Dictionary:
    """JumpReLU weights as Lieberum et al. 2024 published them; b_dec is not subtracted from the input."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tensors = {name.lower(): torch.from_numpy(arrays[name]) for name in arrays.files}
        return Dictionary(*(tensors[name] for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold")))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing") from None
    except (KeyError, ValueError) as error:
        raise PipelineError(f"{path} is not a Gemma Scope {GEMMA_SCOPE}: {error}") from None


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


def _place(source: str) -> Path:
    if Path(source).exists():
        return Path(source)
    repository, colon, folder = source.partition(":")
    if not colon:
        raise PipelineError(f"`sae.pretrained` {source} does not exist (on the hub it would be repository:folder)")
    try:
        return Path(snapshot_download(repository, allow_patterns=f"{folder}/*")) / folder
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise PipelineError(
            f"`sae.pretrained` {source} cannot be fetched ({reason}); with no network, give a folder on this machine"
        ) from None
