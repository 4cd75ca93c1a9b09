"""Exact selection of the largest pre-activations, in the time of one comparison per entry.

Positions are flat and ascending, and come with their values: to gather them later would miss the caches each time.
"""

import numba
import numpy as np
import torch


def above(pre_bs: torch.Tensor, cut: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and values of the entries above ``cut``."""
    flat = pre_bs.flatten()
    if flat.is_cuda:
        found = positions(flat > cut)
        return found, flat[found]
    found, value = _above(flat.numpy(), np.float32(cut))
    return torch.from_numpy(found), torch.from_numpy(value)


@numba.njit(cache=True, nogil=True)
def _above(flat, cut):
    """Counted first; then written without a branch, which would be mispredicted at every find."""
    count = 0
    for i in range(len(flat)):
        count += flat[i] > cut
    found, value = np.empty(count + 1, np.int64), np.empty(count + 1, flat.dtype)
    count = 0
    for i in range(len(flat)):
        found[count], value[count] = i, flat[i]
        count += flat[i] > cut
    return found[:count], value[:count]


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions of the true entries; on a CPU numpy finds them three times as fast as torch."""
    if mask.is_cuda:
        return mask.flatten().nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def nth_largest(value: torch.Tensor, n: int) -> float:
    """The n-th largest of some values; numpy's partition takes half the time of torch's kthvalue."""
    place = len(value) - n
    if value.is_cuda:
        return float(value.kthvalue(place + 1).values)
    return float(np.partition(value.numpy(), place)[place])


def largest(pre_bs: torch.Tensor, count: int, likely_cut: float) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Positions and values of the ``count`` largest positive entries (all of them if fewer), and the smallest value.

    ``likely_cut`` is the answer of the step before: while it is roughly right, only the few entries above nine
    tenths of it take part in the search for the exact cut. Entries that tie with the cut are all taken.
    """
    found, value = above(pre_bs, max(0.9 * likely_cut, 0.0))
    if len(found) < count and likely_cut > 0:
        found, value = above(pre_bs, 0.0)
    if len(value) > count:
        keep = positions(value >= nth_largest(value, count))
        found, value = found[keep], value[keep]
    return found, value, float(value.min()) if len(value) else 0.0
