"""Which language model is studied, and the tiny one that is trained here when none is named."""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.settings import require


@dataclass(frozen=True)
class TinySettings:
    """Section ``language_model.tiny``: a small Gemma-2 trained on the corpus until it knows it."""

    tokenizer: Literal["word", "bpe"] = "word"
    vocab_size: int = 4096
    hidden_size: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 512
    sliding_window: int = 64
    context_length: int = 128
    learning_rate: float = 2e-3
    warmup_steps: int = 60
    batch_documents: int = 16
    max_tokens: int = 1_500_000
    cooldown_tokens: int = 80_000
    check_tokens: int = 40_000
    enough_cloze: float = 0.95
    enough_choice: float = 0.99

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "layers",
            "heads",
            "kv_heads",
            "head_dim",
            "intermediate_size",
            "vocab_size",
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")
        require(
            self.heads % self.kv_heads == 0,
            f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})",
        )
        require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}; it must be above 0")
        require(self.cooldown_tokens < self.max_tokens, "cooldown_tokens must be below max_tokens")
        for name in ("enough_cloze", "enough_choice"):
            require(0 < getattr(self, name) <= 1, f"{name} is {getattr(self, name)}; it must be in (0, 1]")


@dataclass(frozen=True)
class LanguageModelSettings:
    """Section ``language_model``."""

    source: str = "train"
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    tiny: TinySettings = field(default_factory=TinySettings)
