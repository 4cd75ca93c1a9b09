"""Inputs of the store benchmarks: a random Gemma-2, a word tokenizer, random text; nothing is downloaded."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast


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
