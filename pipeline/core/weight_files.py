"""Is a file of weights whole? Asked of its first bytes and its length: no tensor is read, no torch is loaded."""

import json
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError

_POINTER = b"version https://git-lfs.github.com/spec/"
_LONGEST_HEADER = 100_000_000  # bytes; the safetensors library reads none longer


def is_lfs_pointer(path: Path) -> bool:
    """Whether git has left the address of the file where the file should be."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def safetensors_header(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> dtype, shape and place of each tensor; a file that cannot hold them is refused with what ails it.

    The format: 8 bytes that number the bytes of the header, the header as JSON, then nothing but the tensors.
    """
    size = path.stat().st_size
    if size == 0:
        raise PipelineError(f"{path} is empty; copy the weights again")
    if is_lfs_pointer(path):
        raise PipelineError(f"{path} is a pointer of git LFS, not the weights; run `git lfs pull` where it came from")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise PipelineError(f"{path} is not a safetensors file; save the weights again")
        header = file.read(length)
    if len(header) < length or size < 8:
        raise PipelineError(f"{path} is cut off: it has {size} bytes, and its header alone has {length}")
    tensors = _tensors(header, path)
    expected = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    if size != expected:
        ails = "is cut off" if size < expected else "has bytes that no tensor owns"
        raise PipelineError(f"{path} {ails}: it has {size} bytes, and its header tells of {expected}; copy it again")
    return tensors


def _tensors(header: bytes, path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(header)
        tensors = {name: about for name, about in content.items() if name != "__metadata__"}
        if not all(isinstance(about["data_offsets"][1], int) for about in tensors.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise PipelineError(f"{path} has a damaged header; save the weights again") from None
    return tensors
