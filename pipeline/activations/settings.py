"""Settings of the activation store; how fast it is filled and read is section ``machine``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.settings import Count, CountOrZero, Settings, require, shaped

_SITES = "resid_pre|attn_out|mlp_out|resid_post"
HookPoint = Annotated[
    str, shaped(rf"blocks\.\d+\.hook_({_SITES})", "the name of a hook point, such as blocks.3.hook_resid_post")
]


class ActivationsSettings(Settings):
    """Section ``activations``."""

    layer: CountOrZero | Literal["auto"]
    site: Literal["resid_pre", "attn_out", "mlp_out", "resid_post"]
    also: tuple[HookPoint, ...]
    packing: Literal["document", "packed"]
    context_length: Annotated[int, Field(ge=2)]
    max_tokens: Count | None
    keep_special: bool
    dtype: Literal["bfloat16", "float16", "float32"]
    mantissa_bits: Annotated[int, Field(ge=1, le=7)] | None
    compression: Literal["none", "zstd"]
    window_rows: Annotated[int, Field(ge=64)]
    chunk_mib: Count
    url: (
        Annotated[
            str, shaped("(s3|gs|az)://.+", "an s3://, gs:// or az:// address such as s3://bucket/folder, or null")
        ]
        | None
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        rows, bits = self.window_rows, self.mantissa_bits
        require(rows & (rows - 1) == 0, f"window_rows is {rows}; it must be a power of 2 from 64 on")
        points = [*self.also, f"blocks.{self.layer}.hook_{self.site}"]
        require(len(set(points)) == len(points), f"also is {', '.join(self.also)}; it names a hook point a second time")
        rounds = bits is None or self.dtype == "bfloat16"
        require(rounds, f"mantissa_bits is {bits} with dtype {self.dtype}; only bfloat16 is rounded")
        return self
