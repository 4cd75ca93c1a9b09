"""Open a causal language model and its tokenizer, whole or only its first layers.

A model is a Hugging Face folder, or a folder with ``reference.json`` that names one which lives elsewhere:
``{"id": hub id or folder, "revision": str or null, "dtype": "bfloat16"}``. Code that comes with a model is never run.
"""

import contextlib
import copy
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from pipeline.core.errors import PipelineError
from pipeline.core.files import check_sums, hash_files, read_json
from pipeline.language_model.checks import check_folder, home, model_files, vocabulary_size


class ModelSource(NamedTuple):
    """Where a model really lives, and the dtype it is to be used in (None: the one it was saved in)."""

    id: str
    revision: str | None
    dtype: str | None


def model_source(model_dir: Path) -> ModelSource:
    """What ``model_dir`` holds or refers to."""
    reference = model_dir / "reference.json"
    if reference.exists():
        content = read_json(reference)
        name = content["id"]
        return ModelSource(
            str(home(name)) if name.startswith("~") else name, content.get("revision"), content.get("dtype")
        )
    if not (model_dir / "config.json").exists():
        raise PipelineError(f"{model_dir} holds no language model (no config.json); run `uv run dvc repro prepare`")
    check_sums(model_dir)
    return ModelSource(str(model_dir), None, None)


def load_model(
    model_dir: Path, n_layers: int | None = None, dtype: str | None = None, device: str = "cpu"
) -> PreTrainedModel:
    """The model in eval mode, its weights frozen, in ``dtype`` or the one it was saved in.

    With ``n_layers`` only the first so many decoder layers are built and read from disk, and no language-model head:
    what a hook in layer ``n_layers - 1`` sees is the same, for a fraction of the memory and the work.
    """
    keep_bars_to_terminals()
    source = model_source(model_dir)
    config = _load_config(source)
    total = config.get_text_config().num_hidden_layers
    kind = AutoModelForCausalLM
    if n_layers is not None:
        config, kind = _first_layers(config, n_layers, source.id), AutoModel
    dtype = dtype or source.dtype or "auto"
    with _opening(source, "model"), without_load_report():
        model, info = kind.from_pretrained(
            source.id,
            revision=source.revision,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=False,
        )
    _check_depth(info["unexpected_keys"], total, source.id)
    if info["missing_keys"]:
        raise PipelineError(
            f"{source.id} lacks weights such as {sorted(info['missing_keys'])[0]}; save the model again"
        )
    _check_weights(model, source.id)
    return model.eval().requires_grad_(False).to(device)


def keep_bars_to_terminals() -> None:
    """Transformers draws its progress bars into log files too; stages there speak in plain lines."""
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()


def load_tokenizer(model_dir: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that was saved with the model.

    A padding token that the model's embedding has no row for is taken from it; ``pad_right`` needs none.
    """
    source = model_source(model_dir)
    if Path(source.id).is_dir():
        _check_fast(source)
    with _opening(source, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source.id, revision=source.revision, trust_remote_code=False)
        tokenizer("a")  # its configuration is believed when it is opened, and used when it reads
    _check_fast(source)  # of a hub model: now the cache has what there is
    rows = vocabulary_size(_load_config(source).get_text_config().to_dict())
    if rows is not None and tokenizer.pad_token_id is not None and tokenizer.pad_token_id >= rows:
        tokenizer.pad_token = None
    return tokenizer


def _check_fast(source: ModelSource) -> None:
    """Refuse a model without the one file that later stages read single tokens from."""
    folder = model_files(source.id, source.revision)
    if folder is not None and not (folder / "tokenizer.json").is_file():
        raise PipelineError(
            f"{source.id} has no tokenizer.json, the file of a fast tokenizer; save one with the model and give that "
            "folder (`AutoTokenizer.from_pretrained(...).save_pretrained(folder)`)"
        )


def leading_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that the tokenizer itself puts in front of every text, such as BOS; for many there are none.

    They alone begin a text here, whatever the model's configuration or the tokenizer's ``bos_token`` says.
    """
    with_special = tokenizer("a")["input_ids"]
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    starts = (i for i in range(len(with_special)) if plain and with_special[i : i + len(plain)] == plain)
    return with_special[: next(starts, 0)]


def count_layers(model_dir: Path) -> int:
    """The number of decoder layers that the model has on disk; reads its configuration only."""
    return _load_config(model_source(model_dir)).get_text_config().num_hidden_layers


def model_identity(model_dir: Path) -> dict[str, str | None]:
    """What tells this model from any other: its id, its hub revision, and the hash of local weights.

    A folder gets ``weights_sha256`` over its weight files; a hub model is identified by its commit.
    """
    source = model_source(model_dir)
    folder = Path(source.id)
    if folder.is_dir():
        name = _load_config(source).name_or_path if source.id != str(model_dir) else model_dir.name
        weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), folder / "config.json"])
        return {"id": name, "revision": source.revision, "weights_sha256": hash_files(weights)}
    _load_config(source)  # now the cache has it, in a folder named by its commit
    cached = try_to_load_from_cache(source.id, "config.json", revision=source.revision)
    if not isinstance(cached, str):
        raise PipelineError(f"the local Hugging Face cache has lost {source.id}; run `hf download {source.id}`")
    return {"id": source.id, "revision": Path(cached).parent.name, "weights_sha256": None}


def _load_config(source: ModelSource) -> PreTrainedConfig:
    folder = model_files(source.id, source.revision)
    if folder is not None:
        check_folder(folder, in_cache=not Path(source.id).is_dir())
    with _opening(source, "model"):
        config = AutoConfig.from_pretrained(source.id, revision=source.revision, trust_remote_code=False)
    if not hasattr(config.get_text_config(), "num_hidden_layers"):
        raise PipelineError(f"the model in {source.id} does not say how many layers it has; give a decoder-only model")
    return config


def _first_layers(config: PreTrainedConfig, n_layers: int, name: str) -> PreTrainedConfig:
    """The configuration of the same model with its first ``n_layers`` decoder layers only."""
    config = copy.deepcopy(config)
    text: Any = config.get_text_config()
    total = text.num_hidden_layers
    if not 1 <= n_layers <= total:
        raise PipelineError(f"layer {n_layers - 1} is beyond the model: {name} has the layers 0 to {total - 1}")
    for key, value in list(vars(text).items()):  # per-layer lists, such as layer_types, must agree in length
        if "layer" in key and isinstance(value, list) and len(value) == total:
            setattr(text, key, value[:n_layers])
    text.num_hidden_layers = n_layers
    return config


def _check_depth(unread: Iterable[str], n_layers: int, name: str) -> None:
    """Refuse weights of more decoder layers than the configuration tells of: they would be left out."""
    numbers = [int(found[1]) for key in unread if (found := re.search(r"\b(?:layers|h|blocks)\.(\d+)\.", key))]
    if max(numbers, default=0) >= n_layers:
        raise PipelineError(
            f"{name} holds weights of layer {max(numbers)}, but its config.json tells of {n_layers} layers; correct "
            "one of them"
        )


def _check_weights(model: PreTrainedModel, name: str) -> None:
    """Refuse a model whose weights are broken, before anything is computed with them."""
    for weight, values in model.named_parameters():
        if values.is_floating_point() and values.itemsize > 1 and not values.isfinite().all():
            what = "NaN" if values.isnan().any() else "infinity"
            raise PipelineError(f"the model {name} has {what} among its weights `{weight}`; save or copy it again")


@contextlib.contextmanager
def without_load_report() -> Iterator[None]:
    """What is left out on purpose (layers, a vocabulary) is no news; what is missing is an error of its own."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


@contextlib.contextmanager
def _opening(source: ModelSource, part: str) -> Iterator[None]:
    """What transformers, tokenizers and safetensors raise over files of others is of any type; the cause is kept."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        raise _unavailable(source, error, part) from error


def _unavailable(source: ModelSource, error: Exception, part: str) -> PipelineError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    at = f" at revision {source.revision}" if source.revision else ""
    if "trust_remote_code" in reason:
        reason = "it needs code of its own, which is never run; give one that the installed transformers knows"
    if model_files(source.id, source.revision) is not None or "code of its own" in reason:
        return PipelineError(f"the {part} in {source.id}{at} can't be loaded: {reason}")
    return PipelineError(
        f"the {part} {source.id}{at} is neither in the local Hugging Face cache nor reachable; accept its licence on "
        f"its hub page, run `hf auth login` and `hf download {source.id}` where there is a network ({reason})"
    )
