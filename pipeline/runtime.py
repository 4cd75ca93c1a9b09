"""How a process uses torch: settings that make it fast on small CPUs (call before the first tensor), and the device."""

import ctypes
import os
import platform

from pipeline.errors import PipelineError

# glibc returns every large tensor to the kernel and faults its pages in again on the next step; keeping freed memory
# more than doubles the training rate of a small model. Values from mallopt(3).
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD = -3, -1, -2


def prepare_process(threads: int) -> None:
    """Keep freed memory (glibc only), use ``threads`` CPU threads in torch, and make results repeatable."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(_M_TOP_PAD, 256 << 20)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks Linux for huge pages: fewer faults, faster gathers
    import torch

    torch.set_num_threads(threads)


def pick_device(name: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` takes CUDA where there is one."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise PipelineError("`run.device` is cuda, but torch sees no CUDA device; set it to auto or cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
