"""A GGUF model becomes an ordinary Hugging Face folder, and is asked whether it works.

Transformers' readers walk the vocabulary of Gemma 3 several times, at a quarter of a minute each; so configuration and
weights are read from a copy of the file without it, and only the tokenizer from the file itself.
"""

import hashlib
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from pipeline.core.errors import PipelineError
from pipeline.language_model.gguf_header import Header, read_header, write_without
from pipeline.language_model.gguf_source import copy_terms, open_gguf
from pipeline.language_model.loading import (
    keep_bars_to_terminals,
    load_model,
    load_tokenizer,
    without_load_report,
)

_VOCABULARY = tuple(f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges"))
_TRICKY = "two  spaces,\nlines\n\nand a tab\t: naïve café 中文 42,000.5"
_CHECK_TOKENS = 256


def convert_gguf(source: str, dtype: str, folder: Path) -> dict[str, Any]:
    """Write the model that ``language_model.source`` names to ``folder``; returns what it is, for ``source.json``."""
    keep_bars_to_terminals()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as name, without_load_report():
        scratch = Path(name)
        file = open_gguf(source, scratch)
        header, digest = read_header(file), _sha256(file)
        try:
            _write_weights(file, header, dtype, scratch, folder)
            _write_tokenizer(file, folder)
        except (ValueError, NotImplementedError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise PipelineError(f"transformers cannot read the GGUF model {source}: {reason}") from None
    return {
        "source": source,
        "name": header.values.get("general.name", file.stem),
        "architecture": header.values["general.architecture"],
        "file_sha256": digest,
        "quantisation": header.quantisation,
        "dtype": dtype,
        "licence": header.values.get("general.license"),
        "terms": copy_terms(source, folder),
        "seconds": round(time.monotonic() - started, 1),
    }


def check_model(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Refuse a model whose tokenizer loses text or whose predictions are no numbers.

    Returns its perplexity on the beginnings of the texts, of which a model that read its weights wrongly makes
    thousands: a figure to look at, as no border fits every model and text.
    """
    tokenizer = load_tokenizer(folder)
    for text in (_TRICKY, *texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if back != text:
            raise PipelineError(f"the tokenizer of {folder} reads {text[:60]!r} and gives back {back[:60]!r}")
    perplexity, tokens = _perplexity(folder, tokenizer, texts)
    if not math.isfinite(perplexity):
        raise PipelineError(
            f"the model in {folder} predicts nothing: its perplexity on {tokens} tokens is {perplexity}"
        )
    return {"perplexity": round(perplexity, 2), "perplexity_tokens": tokens}


@torch.no_grad()
def _perplexity(folder: Path, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> tuple[float, int]:
    """One text at a time: logits over 262,144 tokens take a megabyte a place."""
    model = load_model(folder)
    loss, tokens = 0.0, 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"][:, :_CHECK_TOKENS]
        logits_tv = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        loss += torch.nn.functional.cross_entropy(logits_tv, ids[0, 1:], reduction="sum").item()
        tokens += ids.shape[1] - 1
    return math.exp(min(loss / tokens, 700)) if math.isfinite(loss) else math.nan, tokens


def _write_weights(file: Path, header: Header, dtype: str, scratch: Path, folder: Path) -> None:
    write_without(file, _VOCABULARY, scratch / "weights.gguf")
    config = AutoConfig.from_pretrained(scratch, gguf_file="weights.gguf")
    config.vocab_size = header.vocabulary
    model = AutoModelForCausalLM.from_pretrained(
        scratch,
        gguf_file="weights.gguf",
        config=config,
        dtype=getattr(torch, dtype),
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)


def _write_tokenizer(file: Path, folder: Path) -> None:
    """By the class of the model's type where it has one: to find another, transformers walks the vocabulary again."""
    kind = AutoConfig.from_pretrained(folder).model_type
    named = kind if kind in TOKENIZER_MAPPING_NAMES else None
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, tokenizer_type=named)
    if tokenizer.pad_token is None:  # batches are padded; what pads is masked
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
