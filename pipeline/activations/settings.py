"""Settings of the activation store and of its reader."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.core.settings import require


@dataclass(frozen=True)
class ActivationsSettings:
    """Section ``activations``."""

    layer: int = 1
    site: Literal["resid_pre", "attn_out", "mlp_out", "resid_post"] = "resid_post"
    also: tuple[str, ...] = ()
    packing: Literal["document", "packed"] = "document"
    context_length: int = 256
    max_tokens: int | None = None
    keep_special: bool = False
    batch_tokens: int = 8192
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    mantissa_bits: int | None = None
    compression: Literal["none", "zstd"] = "none"
    window_rows: int = 131072
    chunk_mib: int = 16
    memory_mib: int = 2048
    url: str | None = None
    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        require(self.layer >= 0, f"layer is {self.layer}; the first is 0")
        for name in self.also:
            good = re.fullmatch(r"blocks\.\d+\.hook_(resid_pre|attn_out|mlp_out|resid_post)", name)
            require(bool(good), f"also names {name!r}; a hook point looks like blocks.3.hook_resid_post")
        require(self.context_length >= 2, f"context_length is {self.context_length}; it must be 2 or more")
        tokens = self.max_tokens
        require(tokens is None or tokens >= 1, f"max_tokens is {tokens}; it must be 1 or more, or null for all")
        require(
            self.batch_tokens >= self.context_length,
            f"batch_tokens is {self.batch_tokens}; it must hold one context of {self.context_length} tokens",
        )
        bits = self.mantissa_bits
        require(
            bits is None or (self.dtype == "bfloat16" and 1 <= bits <= 7),
            f"mantissa_bits is {bits} with dtype {self.dtype}; it must be 1 to 7, with bfloat16",
        )
        rows = self.window_rows
        require(rows >= 64 and rows & (rows - 1) == 0, f"window_rows is {rows}; it must be a power of 2 from 64 on")
        require(self.url is None or "://" in self.url, f"url is {self.url!r}; it must look like s3://bucket/folder")
        require(self.workers >= 1, f"workers is {self.workers}; it must be 1 or more")
        require(self.chunk_mib >= 1, f"chunk_mib is {self.chunk_mib}; it must be 1 or more")
        require(self.memory_mib >= 1, f"memory_mib is {self.memory_mib}; it must be 1 or more")
