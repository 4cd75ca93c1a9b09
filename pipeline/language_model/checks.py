"""What a model's files tell about it, without loading it (or torch): asked before any stage runs.

Refused in one sentence: a configuration that cannot be read, code of the model's own, quantised or damaged weights, an
adapter in place of a model, contexts longer than the model's positions.
"""

import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from pipeline.core.errors import PipelineError
from pipeline.core.weight_files import is_lfs_pointer, safetensors_header

LAYERS = ("num_hidden_layers", "n_layer", "num_layers")  # transformers' usual name, GPT-2's, GPT-Neo's
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")  # usual, GPT-2, MPT, ChatGLM
# Ends of the names of classes without a head that predicts the next token from those before it.
_NO_WRITERS = ("ForMaskedLM", "ForPreTraining", "Classification", "ForQuestionAnswering", "RewardModel")
INDEX, WEIGHTS, ADAPTER = "model.safetensors.index.json", "model.safetensors", "adapter_config.json"


def check_model(source: str, revision: str | None, context_length: int) -> None:
    """Refuse a model that a later stage could not open, or whose positions ``context_length`` tokens exceed.

    Of a hub model that is not in the local cache nothing is known yet; opening it asks the same questions.
    """
    folder = model_files(source, revision)
    if folder is None:
        return
    check_folder(folder, in_cache=folder != home(source))
    if (folder / "tokenizer.json").exists():
        _read_mapping(folder / "tokenizer.json")
    positions = max_positions(read_config(folder / "config.json"))
    if positions is not None and context_length > positions:
        raise PipelineError(
            f"`activations.context_length` is {context_length}, but {source} reads at most {positions} tokens; "
            f"set it to {positions} or less"
        )


def check_folder(folder: Path, in_cache: bool) -> None:
    """Refuse a folder of model files that cannot be opened, or not without running code from it.

    ``in_cache``: what a folder in the local cache of the hub lacks has not been fetched yet, which is no fault.
    """
    config = read_config(folder / "config.json")
    _check_architecture(config, folder)
    if (folder / "tokenizer_config.json").exists():
        _check_tokenizer(_read_mapping(folder / "tokenizer_config.json"), folder)
    if (folder / ADAPTER).exists():
        raise PipelineError(
            f"{folder} holds an adapter ({ADAPTER}), which would be left out; merge it into the model "
            "(`merge_and_unload` of peft) or remove it"
        )
    for file in weight_files(folder):
        if file.is_file():
            safetensors_header(file)
        elif not in_cache:
            raise PipelineError(f"{folder} lacks the weights {file.name}; copy or save the model again")


def layer_count(source: str, revision: str | None) -> int | None:
    """Layers of a model folder, or of a hub model whose config is in the local cache; None where it does not say."""
    folder = model_files(source, revision)
    return None if folder is None else _number(read_config(folder / "config.json"), LAYERS)


def max_positions(config: Mapping[str, Any]) -> int | None:
    """The longest text that the model was made for, in tokens; None where its configuration does not say."""
    return _number(config, POSITIONS)


def vocabulary_size(config: Mapping[str, Any]) -> int | None:
    """The number of rows of the model's embedding, which its tokenizer's ids must stay below."""
    return _number(config, ("vocab_size",))


def model_files(source: str, revision: str | None) -> Path | None:
    """The folder with a model's files: itself, or the snapshot in the local cache; None where there is neither."""
    folder = home(source)
    if (folder / "config.json").exists():
        return folder
    if source.startswith(("/", ".", "~")) or source.count("/") > 1:  # no hub id
        return None
    found = try_to_load_from_cache(source, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def home(path: str) -> Path:
    """The path, with ``~`` as the home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name of a user whom this machine does not know
        raise PipelineError(f"no home folder is known for the `~` of {path}; give the whole path") from None


def read_config(file: Path) -> dict[str, Any]:
    """The content of a model's config.json; a part that reads text only stands for a model that also sees."""
    config = _read_mapping(file)
    text = config.get("text_config")
    if not isinstance(text, dict | None):
        raise PipelineError(f"{file}: `text_config` is {text!r}; it must be a mapping; copy or save the model again")
    return config | (text or {})


def _read_mapping(file: Path) -> dict[str, Any]:
    """A JSON file of a model folder, which must hold a mapping."""
    if is_lfs_pointer(file):
        raise PipelineError(f"{file} is a pointer of git LFS, not the file; run `git lfs pull` where it came from")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        what = "is not JSON" if file.stat().st_size else "is empty"
        raise PipelineError(f"{file} {what}; copy or save the model again") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{file} holds no mapping but a {type(content).__name__}; copy or save the model again")
    return content


def _number(config: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    found = next((config[key] for key in keys if config.get(key) is not None), None)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def _check_architecture(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse what transformers could open only with the folder's own code, and weights that are not plain numbers."""
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise PipelineError(f"{folder}/config.json names no `model_type`; it must be a model of transformers")
    if config.get("is_encoder_decoder") is True:
        raise PipelineError(
            f"{folder} is an encoder with a decoder ({config['model_type']}); give a decoder-only model"
        )
    saved_as = config.get("architectures")
    other = [name for name in saved_as if str(name).endswith(_NO_WRITERS)] if isinstance(saved_as, list) else []
    if other:
        raise PipelineError(
            f"{folder} was saved as {other[0]}, which does not write text; give a causal language model"
        )
    if config.get("auto_map") and not _is_known(config):
        raise _own_code(folder)
    if "quantization_config" in config:
        about = config["quantization_config"]
        method = about.get("quant_method", "") if isinstance(about, dict) else ""
        raise PipelineError(
            f"{folder} holds quantised weights ({method or 'of an unnamed method'}), which cannot be edited; give the "
            "model that they were made from"
        )


def _check_tokenizer(config: Mapping[str, Any], folder: Path) -> None:
    auto_map = config.get("auto_map")
    if isinstance(auto_map, dict) and "AutoTokenizer" in auto_map:
        raise _own_code(folder)


def _own_code(folder: Path) -> PipelineError:
    return PipelineError(
        f"{folder} needs code of its own (`auto_map`), which is never run; give a model that the installed "
        "transformers knows"
    )


def _is_known(config: Mapping[str, Any]) -> bool:
    """Whether the classes that ``auto_map`` names have become part of transformers, so that the code is not needed.

    Many models were published with code first. Loading the names takes seconds; only such models cost them.
    """
    names = importlib.import_module("transformers.models.auto.modeling_auto")
    causal = names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config["model_type"], ())
    wanted = config["auto_map"].get("AutoModelForCausalLM", "") if isinstance(config["auto_map"], dict) else ""
    ours = (causal,) if isinstance(causal, str) else causal
    return isinstance(wanted, str) and wanted.rpartition(".")[2] in ours


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads the weights from, whether they are there or not."""
    if (folder / WEIGHTS).exists() or not (folder / INDEX).exists():
        return [folder / WEIGHTS]
    shards = _read_mapping(folder / INDEX).get("weight_map")
    names = list(dict.fromkeys(map(str, shards.values()))) if isinstance(shards, dict) else []
    if not names:
        raise PipelineError(f"{folder / INDEX} names no weights; copy or save the model again")
    return [folder / name for name in names]
