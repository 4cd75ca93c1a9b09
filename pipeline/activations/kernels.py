"""Numba kernels: rows moved and summed in one pass over memory, which is what a store's speed is made of.

torch needs two passes to pick rows and widen them, and five for exact moments.
"""

import numba
import numpy as np

TILE = 256  # columns whose float64 sums stay in the innermost cache


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def add_moments(rows_nd, sum_d, square_d, square_n):
    """Add float32 rows [n, d] to the float64 sums and sums of squares of each column [d] and of each row [n].

    Squares of bfloat16 and float16 are exact in float64. The order of addition is fixed by the code, not by threads.
    """
    n_rows, width = rows_nd.shape
    sums, squares = np.empty(TILE), np.empty(TILE)
    for start in range(0, width, TILE):
        size = min(TILE, width - start)
        sums[:] = 0.0
        squares[:] = 0.0
        for n in range(n_rows):
            row = rows_nd[n, start : start + size]
            total = 0.0
            for d in range(size):
                x = np.float64(row[d])
                sums[d] += x
                squares[d] += x * x
                total += x * x
            square_n[n] += total
        sum_d[start : start + size] += sums[:size]
        square_d[start : start + size] += squares[:size]


@numba.njit(cache=True, nogil=True)
def gather_widened(bits_nd, taken, out_nd):
    """``out[i] = bits[taken[i]]``, bfloat16 bits (uint16) becoming those of float32 (uint32)."""
    for i in range(len(taken)):
        source, target = bits_nd[taken[i]], out_nd[i]
        for d in range(len(target)):
            target[d] = np.uint32(source[d]) << np.uint32(16)
