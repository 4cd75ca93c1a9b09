"""The null of no relation: every latent keeps its rate, its values and its bursts, but not its place.

Text is autocorrelated, so chance pairs are more frequent than independent tokens would make them. Shifting each
latent around the whole store by an offset of its own keeps that and breaks every relation between latents.
"""

import numba
import numpy as np

from pipeline.tree.units import Units


def circular_shift(units: Units, seed: int) -> Units:
    """The units with every latent's occurrences moved on by a number of units of its own, around the end."""
    indptr, index, value = _shifted(units.indptr, units.index, units.value, offsets(units, seed))
    return Units(indptr, index, value, units.document, units.n_latents)


def offsets(units: Units, seed: int) -> np.ndarray:
    """How far every latent is moved, int64 [s]: evenly spaced and dealt at random.

    Drawn independently, some pairs of latents would get the same offset, and with it their whole relation back. Where
    there are fewer units than latents some do: such pairs are not null.
    """
    turn = np.random.default_rng(seed).permutation(units.n_latents)
    return turn * units.n_units // units.n_latents


@numba.njit(cache=True, nogil=True)
def _shifted(indptr, index, value, offset):
    n_units, n_latents = len(indptr) - 1, len(offset)
    start = np.zeros(n_latents + 1, np.int64)
    for k in range(len(index)):
        start[index[k] + 1] += 1
    start = np.cumsum(start)
    fill = start[:-1].copy()
    row, old = np.empty(len(index), np.int64), np.empty(len(index), np.int64)
    new_indptr = np.zeros(n_units + 1, np.int64)
    for unit in range(n_units):
        for k in range(indptr[unit], indptr[unit + 1]):
            at = fill[index[k]]
            row[at], old[at] = (unit + offset[index[k]]) % n_units, k
            fill[index[k]] = at + 1
            new_indptr[row[at] + 1] += 1
    new_indptr = np.cumsum(new_indptr)
    place = new_indptr[:-1].copy()
    new_index, new_value = np.empty_like(index), np.empty_like(value)
    for latent in range(n_latents):  # in order of latents, so that indices ascend inside a row
        for at in range(start[latent], start[latent + 1]):
            k = place[row[at]]
            new_index[k], new_value[k] = latent, value[old[at]]
            place[row[at]] = k + 1
    return new_indptr, new_index, new_value
