"""Tiny random language models and a word-level tokenizer for the tests; nothing is downloaded."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

WORDS = tuple(f"w{i}" for i in range(60))
SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
}


def gemma(dtype: torch.dtype = torch.float32, **changes: int) -> PreTrainedModel:
    """A Gemma-2 with random weights, norm weights included (zeros would hide a missed post-norm)."""
    torch.manual_seed(0)
    config = Gemma2Config(**(SIZES | {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 8} | changes))
    model = Gemma2ForCausalLM(config)
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model.to(dtype).eval()


def llama() -> PreTrainedModel:
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=1)).eval()


def neox() -> PreTrainedModel:
    """GPT-NeoX adds attention and MLP in parallel."""
    torch.manual_seed(2)
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)).eval()


def gemma3() -> PreTrainedModel:
    """Gemma 3: local layers with one global among them."""
    torch.manual_seed(3)
    config = Gemma3TextConfig(**SIZES, num_key_value_heads=1, head_dim=8, sliding_window=4, sliding_window_pattern=2)
    return loud(Gemma3ForCausalLM(config))


def qwen() -> PreTrainedModel:
    torch.manual_seed(4)
    return loud(Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=1)))


def gpt2() -> PreTrainedModel:
    """GPT-2: learned positions, and linear maps whose weights are [in, out]."""
    torch.manual_seed(5)
    return loud(GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=4, n_head=2, n_positions=64)))


def loud(model: PreTrainedModel) -> PreTrainedModel:
    """The model with all weights drawn anew, large enough for every part of it to be felt in the logits."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(0.4 * noise if weight.ndim > 1 else weight + 0.3 * noise)
    return model.eval()


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One id per word, ``<bos>`` put in front as Gemma's tokenizer does."""
    vocabulary = {token: i for i, token in enumerate(("<pad>", "<eos>", "<bos>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )


def save_model(folder: Path, model: PreTrainedModel | None = None) -> Path:
    """A Hugging Face folder with a model (the tiny Gemma-2 by default) and the word tokenizer."""
    (model if model is not None else gemma()).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder
