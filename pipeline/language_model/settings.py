"""Which language model is studied, and the tiny one that is trained here when none is named."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.settings import Count, CountOrZero, Positive, PositiveShare, Settings, Share, require, shaped


class TinySettings(Settings):
    """Section ``language_model.tiny``: a small Gemma-2 trained on the corpus until it knows it."""

    tokenizer: Literal["word", "bpe"]
    vocab_size: Annotated[int, Field(ge=8)]
    hidden_size: Count
    layers: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    intermediate_size: Count
    sliding_window: Count
    context_length: Count
    learning_rate: Positive
    warmup_steps: Count
    batch_documents: Count
    max_tokens: Count
    cooldown_tokens: CountOrZero
    check_tokens: Count
    enough_cloze: PositiveShare
    enough_choice: PositiveShare

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        heads, groups = self.heads, self.kv_heads
        require(heads % groups == 0, f"heads ({heads}) must be a multiple of kv_heads ({groups})")
        require(
            self.hidden_size % heads == 0, f"hidden_size ({self.hidden_size}) must be a multiple of heads ({heads})"
        )
        require(self.head_dim % 2 == 0, f"head_dim is {self.head_dim}; it must be even")
        require(self.cooldown_tokens < self.max_tokens, "cooldown_tokens must be below max_tokens")
        return self


class LanguageModelSettings(Settings):
    """Section ``language_model``."""

    source: Annotated[str, shaped(r"\S(.*\S)?", "train, a hub id, a folder, a .gguf file or package:<name>")]
    revision: str | None
    dtype: Literal["float32", "bfloat16", "float16"]
    least_known: Share | None
    layer_sweep: bool
    tiny: TinySettings
