"""Data-parallel training: every process trains on its own rows, and all take the same step.

Start with ``torchrun --nproc-per-node=N -m stages.train_sae``; without torchrun there is one process, and nothing
here communicates. N processes with batches of b rows do what one process does with the N * b rows together.
"""

import os
from typing import Any

import torch
import torch.distributed as dist

from pipeline.sae.rules.select import above, largest, nth_largest, positions


def join(device: str) -> str:
    """Join torchrun's group if there is one; returns this process's device, one GPU each."""
    if "WORLD_SIZE" not in os.environ:
        return device
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    if device != "cuda":
        return device
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return f"cuda:{os.environ['LOCAL_RANK']}"


def n_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def from_first(text: str | None) -> str:
    """The first process's text, in every process."""
    box = [text]
    if n_processes() > 1:
        dist.broadcast_object_list(box, src=0)
    assert box[0] is not None
    return box[0]


def from_each(content: Any) -> list[Any]:
    """What every process passes, in the order of ranks."""
    if n_processes() == 1:
        return [content]
    contents: list[Any] = [None] * n_processes()
    dist.all_gather_object(contents, content)
    return contents


def mean_(tensors: list[torch.Tensor]) -> None:
    """Replace each tensor by its mean over the processes."""
    if n_processes() == 1:
        return
    for tensor in tensors:
        dist.all_reduce(tensor)
        tensor /= n_processes()


def sum_(tensor: torch.Tensor) -> torch.Tensor:
    """Replace a tensor by its sum over the processes."""
    if n_processes() > 1:
        dist.all_reduce(tensor)
    return tensor


def largest_of_all(pre_bs: torch.Tensor, count: int, likely_cut: float) -> tuple[torch.Tensor, torch.Tensor, float]:
    """``select.largest`` over the rows of all processes: each gets its own entries, all get the same cut.

    Every process sends its entries above nine tenths of the likely cut (all positive ones if those are too few), and
    each finds the cut in the union.
    """
    if n_processes() == 1:
        return largest(pre_bs, count, likely_cut)
    found, value = above(pre_bs, max(0.9 * likely_cut, 0.0))
    everywhere = _union(value)
    if len(everywhere) < count and likely_cut > 0:
        found, value = above(pre_bs, 0.0)
        everywhere = _union(value)
    cut = float(everywhere.min()) if len(everywhere) else 0.0
    if len(everywhere) > count:
        cut = nth_largest(everywhere, count)
    keep = positions(value >= cut)
    return found[keep], value[keep], cut


def _union(value: torch.Tensor) -> torch.Tensor:
    """The positive values of all processes."""
    lengths = [torch.zeros(1, dtype=torch.int64, device=value.device) for _ in range(n_processes())]
    dist.all_gather(lengths, torch.tensor([len(value)], device=value.device))
    padded = value.new_full((int(max(lengths)),), -1.0)
    padded[: len(value)] = value
    gathered = [torch.empty_like(padded) for _ in range(n_processes())]
    dist.all_gather(gathered, padded)
    values = torch.cat(gathered)
    return values[values > 0]
