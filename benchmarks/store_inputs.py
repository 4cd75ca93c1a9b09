"""What the store benchmarks share: a random Gemma-2, a word tokenizer, random text, empty stores, fair rounds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast

from pipeline.activations.caching import CachingJob
from pipeline.activations.plan import TokenPlan
from pipeline.activations.writer import WindowWriter, create_store

CONTEXT, BATCH = 256, 4096


def make_model(folder: Path, d_model: int = 64, n_layers: int = 3, vocabulary: int = 512, **changes: int) -> Path:
    """A Hugging Face folder; ``vocabulary`` words and four special tokens."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": vocabulary + 4,
        "hidden_size": d_model,
        "intermediate_size": 4 * d_model,
        "num_hidden_layers": n_layers,
        "num_attention_heads": max(1, d_model // 32),
        "num_key_value_heads": 1,
        "head_dim": 32,
    }
    Gemma2ForCausalLM(Gemma2Config(**(sizes | changes))).save_pretrained(folder)
    words = ("<pad>", "<eos>", "<bos>", "<unk>", *(f"w{i}" for i in range(vocabulary)))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def make_text(path: Path, n_tokens: int, longest: int = 200, vocabulary: int = 512) -> Path:
    """Documents of 1 to ``longest`` words, ``n_tokens`` words or a few more in all."""
    rng, written = np.random.default_rng(0), 0
    with path.open("w") as lines:
        while written < n_tokens:
            words = rng.integers(0, vocabulary, int(rng.integers(1, longest + 1)))
            lines.write(json.dumps({"text": " ".join(f"w{word}" for word in words), "path": []}) + "\n")
            written += len(words)
    return path


def full_contexts(n_tokens: int, context: int = CONTEXT) -> TokenPlan:
    """A plan of full sequences without special tokens."""
    start = np.arange(0, n_tokens + 1, context, dtype=np.int64)
    token_id = np.random.default_rng(0).integers(4, 4000, n_tokens).astype(np.int32)
    return TokenPlan(token_id, np.zeros(n_tokens, np.int32), start, start, ())


def new_job(path: Path, plan: TokenPlan, name: str, d_model: int, batch_tokens: int = BATCH) -> CachingJob:
    window_rows = min(131_072, 1 << (plan.n_rows - 1).bit_length())  # of whole chunks, however many rows there are
    options = {"dtype": "bfloat16", "window_rows": window_rows, "chunk_mib": 16, "compression": "none"}
    create_store(path, plan.n_rows, d_model, **options, attributes={})
    return CachingJob(plan, {name: WindowWriter(path)}, window_rows, batch_tokens, 0)


def interleaved(
    variants: dict[str, Callable[[], float]], repeats: int, before: Callable[[str], object] = lambda name: None
) -> dict[str, float]:
    """The least CPU seconds that each variant reports over ``repeats`` rounds, after one that is not counted."""
    best = dict.fromkeys(variants, float("inf"))
    for round_ in range(repeats + 1):
        for name, work in variants.items():
            before(name)
            seconds = work()
            if round_:
                best[name] = min(best[name], seconds)
    return best
