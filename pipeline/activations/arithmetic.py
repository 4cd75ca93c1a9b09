"""In which arithmetic a model of float32 weights is run while its activations are cached, or its weights trained.

    float32   as the weights are
    medium    factors of matrix products are rounded to bfloat16 where the processor gains by it; the rest is float32
    autocast  PyTorch's autocast: products and attention in bfloat16, norms and the residual stream in float32

``auto`` follows what was seen: with AVX512-BF16 ``autocast`` was about twice as fast as float32 on layers of width 640,
with AMX ``medium`` already was, and AVX2 alone loses by any rounding.
"""

import contextlib
from collections.abc import Iterator

import torch

from pipeline.core.processes import Arithmetic


def arithmetic_for(wanted: Arithmetic, device: str) -> Arithmetic:
    """What ``auto`` means on this machine; anything else means itself."""
    if wanted != "auto":
        return wanted
    if device != "cpu":
        return "medium"
    has = torch.cpu.get_capabilities()
    if has.get("amx_bf16"):
        return "medium"
    return "autocast" if has.get("avx512_bf16") else "float32"


@contextlib.contextmanager
def computing(arithmetic: Arithmetic, device: str) -> Iterator[None]:
    """Inside the block models are run in an arithmetic that was chosen."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if arithmetic == "medium" else "highest")
    try:
        with torch.autocast(device, torch.bfloat16, enabled=arithmetic == "autocast"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
