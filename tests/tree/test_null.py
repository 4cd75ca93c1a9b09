"""The circular-shift null keeps every latent as it is, and leaves no pair related."""

import numpy as np

from benchmarks.correlation_codes import planted_codes
from pipeline.tree.correlation import significant_pairs
from pipeline.tree.kernels import PEARSON, columns, latent_sums, pairs_of_rows, standardisation
from pipeline.tree.units import tokens
from studies.trees.circular_shift import circular_shift


def count_significant(units) -> int:
    n, s, q = latent_sums(units.index, units.value, units.n_latents)
    z = standardisation(PEARSON, units.n_units, n, s, q)
    where = columns(units.indptr, units.index, 0, units.n_latents)
    i, j, n_ij, _, _ = pairs_of_rows(
        0, units.n_latents, *where, units.index, units.value, PEARSON, units.n_units, n, z, -2.0, 1
    )
    return int(significant_pairs(units.n_units, n, i, j, n_ij, 0.05).sum())


def test_a_shift_keeps_values_and_gaps_of_every_latent_in_order():
    units = tokens(planted_codes(n_tokens=300, n_latents=64, l0=8)[0])
    shifted = circular_shift(units, seed=0)
    assert np.all(np.diff(shifted.indptr) >= 0)
    for latent in range(64):
        before, after = (
            np.bincount(np.repeat(np.arange(300), np.diff(u.indptr)), u.value * (u.index == latent), 300)
            for u in (units, shifted)
        )
        assert any(np.array_equal(np.roll(before, k), after) for k in range(300))
    for unit in range(300):
        row = shifted.index[shifted.indptr[unit] : shifted.indptr[unit + 1]].astype(int)
        assert np.all(np.diff(row) > 0)


def test_planted_pairs_are_significant_and_shifted_ones_are_not():
    units = tokens(planted_codes(n_tokens=40_000, n_latents=512, l0=20)[0])
    assert count_significant(units) > 1000
    assert count_significant(circular_shift(units, seed=1)) <= 1
