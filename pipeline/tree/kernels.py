"""Numba kernels: pair sums by feature row, and the similarities they give.

For latent i, walk the units that hold it and add the rest of each unit's row (j > i) into one accumulator of
length n_latents. Rows of latents are independent: no races, and the sums do not depend on how work is split, because
the units of a latent are always visited in order. Work is n_units * E[L0^2] / 2 updates, whatever the number of
latents. All in one file: numba's cache watches a kernel's own file, not the files of what it calls.
"""

import numba
import numpy as np

PEARSON, PHI, COSINE, JACCARD, CONTAINMENT, LOEVINGER, LOEVINGER_LOWER = range(7)
SIMILARITIES = {
    "pearson": PEARSON,
    "phi": PHI,
    "cosine": COSINE,
    "jaccard": JACCARD,
    "containment": CONTAINMENT,
    "loevinger": LOEVINGER,
    "loevinger_lower": LOEVINGER_LOWER,
}


@numba.njit(cache=True, nogil=True, error_model="numpy")
def latent_sums(index, value, n_latents):
    """Firings n (int64), sum s and sum of squares q (float64) of every latent.

    Raw float64 sums keep a correlation exact to 1e-9 up to mean / sd = 1000, far beyond sparse codes.
    """
    n = np.zeros(n_latents, np.int64)
    s = np.zeros(n_latents)
    q = np.zeros(n_latents)
    for k in range(len(index)):
        x = np.float64(value[k])
        n[index[k]] += 1
        s[index[k]] += x
        q[index[k]] += x * x
    return n, s, q


@numba.njit(cache=True, nogil=True)
def columns(indptr, index, low, high):
    """Where latents [low, high) occur: ``offset`` [high - low + 1] into ``position`` (of the occurrence in the CSR
    arrays) and ``remaining`` (entries after it in its row). 6 bytes an occurrence with 16-bit indices."""
    offset = np.zeros(high - low + 1, np.int64)
    for k in range(len(index)):
        if low <= index[k] < high:
            offset[index[k] - low + 1] += 1
    offset = np.cumsum(offset)
    fill = offset[:-1].copy()
    position = np.empty(offset[-1], np.int32)
    remaining = np.empty(offset[-1], index.dtype)  # a row is no longer than there are latents
    for row in range(len(indptr) - 1):
        for k in range(indptr[row], indptr[row + 1]):
            if low <= index[k] < high:
                at = fill[index[k] - low]
                position[at] = k
                remaining[at] = indptr[row + 1] - k - 1
                fill[index[k] - low] = at + 1
    return offset, position, remaining


def standardisation(kind: int, n_units: int, n: np.ndarray, s: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Per latent what ``similarity`` subtracts and multiplies with: float64 [s, 2], (mean, 1 / spread).

    A latent without variance (dead, or the same value in every unit) gets 1 / spread = 0, hence similarity 0.
    """
    share = n / max(1, n_units)
    mean, square = s / max(1, n_units), q / max(1, n_units)
    if kind == PEARSON:
        variance = square - mean**2
        variance[variance <= 1e-12 * square] = 0  # only rounding is left of a constant
    elif kind == PHI:
        mean, variance = share, share * (1 - share)
    elif kind == COSINE:
        mean, variance = np.zeros(len(n)), square
    else:
        mean, variance = np.zeros(len(n)), np.zeros(len(n))
    inverse = np.divide(1, np.sqrt(variance), out=np.zeros(len(n)), where=variance > 0)
    return np.stack([mean, inverse], axis=1)


@numba.njit(cache=True, nogil=True)
def similarity(kind, n_units, n_i, z_i, n_j, z_j, n_ij, s_ij):
    """One pair's similarity; ``z`` is a latent's row of ``standardisation``. 0 where undefined, never NaN.

    pearson      (S/N - m_i m_j) / (sd_i sd_j)
    phi          the same on fired / not fired
    cosine       S / sqrt(q_i q_j)
    jaccard      n_ij / (n_i + n_j - n_ij)
    containment  n_ij / min(n_i, n_j), the greater of P(i|j) and P(j|i)
    loevinger    H = (n_ij - e) / (min(n_i, n_j) - e) with e = n_i n_j / N, not below 0: phi over the largest phi
                 that the two rates allow, 1 where the rarer latent fires only with the other
    loevinger_lower  the same with n_ij - sqrt(n_ij + 1), one standard error of the count less
    """
    if kind in (PEARSON, PHI, COSINE):
        product = n_ij if kind == PHI else s_ij
        r = (product / n_units - z_i[0] * z_j[0]) * (z_i[1] * z_j[1])
    elif kind == JACCARD:
        r = n_ij / (n_i + n_j - n_ij)
    elif kind == CONTAINMENT:
        r = n_ij / min(n_i, n_j)
    else:
        expected = n_i * n_j / n_units  # in this order: exactly n_i where j always fires, whichever of them is i
        error = np.sqrt(n_ij + 1.0) if kind == LOEVINGER_LOWER else 0.0
        most = min(n_i, n_j) - expected
        r = max(0.0, n_ij - error - expected) / most if most > 0 else 0.0
    return min(1.0, max(-1.0, r))


@numba.njit(cache=True, nogil=True)
def similarities(kind, n_units, n, z, i, j, n_ij, s_ij):
    """``similarity`` of many pairs."""
    r = np.empty(len(i))
    for p in range(len(i)):
        a, b = i[p], j[p]
        r[p] = similarity(kind, n_units, n[a], z[a], n[b], z[b], n_ij[p], s_ij[p])
    return r


@numba.njit(cache=True, nogil=True)
def _room(i, j, count, total, r, needed):
    """The output arrays, doubled when a row of pairs may not fit."""
    if needed <= len(i):
        return i, j, count, total, r
    size = max(needed, 2 * len(i))
    grown = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32)
    sums = np.empty(size), np.empty(size, np.float32)
    for old, new in ((i, grown[0]), (j, grown[1]), (count, grown[2])):
        new[: len(old)] = old
    sums[0][: len(total)] = total
    sums[1][: len(r)] = r
    return grown[0], grown[1], grown[2], sums[0], sums[1]


@numba.njit(cache=True, nogil=True)
def pairs_of_rows(low, high, offset, position, remaining, index, value, kind, n_units, n, z, floor, fewest):
    """Pairs (i, j > i) with low <= i < high that co-fire in at least ``fewest`` >= 1 units, of similarity above
    ``floor``.

    The accumulator is one row of (sum, count), which stays in the cache; only touched entries are tested and reset.
    ``offset`` is indexed by latent.
    """
    row = np.zeros((len(n), 2))
    touched = np.empty(len(n), np.int32)
    i_out, j_out, n_out = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int32)
    s_out, r_out = np.empty(1024), np.empty(1024, np.float32)
    size = 0
    for i in range(low, high):
        n_touched = 0
        for at in range(offset[i], offset[i + 1]):
            k = position[at]
            x = np.float64(value[k])
            for m in range(k + 1, k + 1 + np.int64(remaining[at])):
                j = index[m]
                if row[j, 1] == 0:
                    touched[n_touched] = j
                    n_touched += 1
                row[j, 0] += x * value[m]
                row[j, 1] += 1
        i_out, j_out, n_out, s_out, r_out = _room(i_out, j_out, n_out, s_out, r_out, size + n_touched)
        first = size
        for t in range(n_touched):
            j = touched[t]
            r = similarity(kind, n_units, n[i], z[i], n[j], z[j], row[j, 1], row[j, 0])
            if r > floor and row[j, 1] >= fewest:
                i_out[size], j_out[size], n_out[size], s_out[size], r_out[size] = i, j, row[j, 1], row[j, 0], r
                size += 1
            row[j] = 0
        order = np.argsort(j_out[first:size])
        j_out[first:size] = j_out[first:size][order]
        n_out[first:size] = n_out[first:size][order]
        s_out[first:size] = s_out[first:size][order]
        r_out[first:size] = r_out[first:size][order]
    return i_out[:size], j_out[:size], n_out[:size], s_out[:size], r_out[:size]


@numba.njit(cache=True, nogil=True)
def add_slab(offset, position, remaining, index, value, rows):
    """Add one slab of units to the accumulators (sum, count) of a block of latents, float64 [block, s, 2]."""
    for i in range(len(rows)):
        for at in range(offset[i], offset[i + 1]):
            k = position[at]
            x = np.float64(value[k])
            for m in range(k + 1, k + 1 + np.int64(remaining[at])):
                rows[i, index[m], 0] += x * value[m]
                rows[i, index[m], 1] += 1


@numba.njit(cache=True, nogil=True)
def pairs_of_block(low, rows, kind, n_units, n, z, floor, fewest):
    """``pairs_of_rows`` from the finished accumulators of a block of latents."""
    i_out, j_out, n_out = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int32)
    s_out, r_out = np.empty(1024), np.empty(1024, np.float32)
    size = 0
    for i in range(low, low + len(rows)):
        row = rows[i - low]
        i_out, j_out, n_out, s_out, r_out = _room(i_out, j_out, n_out, s_out, r_out, size + len(n))
        for j in range(i + 1, len(n)):
            if row[j, 1] < fewest:
                continue
            r = similarity(kind, n_units, n[i], z[i], n[j], z[j], row[j, 1], row[j, 0])
            if r > floor:
                i_out[size], j_out[size], n_out[size], s_out[size], r_out[size] = i, j, row[j, 1], row[j, 0], r
                size += 1
    return i_out[:size], j_out[:size], n_out[:size], s_out[:size], r_out[:size]


@numba.njit(cache=True, nogil=True)
def add_whole_rows(indptr, index, value, low, rows):
    """Add the sums and counts of a block of latents with all latents, itself included, to float64 [block, s, 2]."""
    for unit in range(len(indptr) - 1):
        for k in range(indptr[unit], indptr[unit + 1]):
            i = np.int64(index[k]) - low
            if 0 <= i < len(rows):
                x = np.float64(value[k])
                for m in range(indptr[unit], indptr[unit + 1]):
                    rows[i, index[m], 0] += x * value[m]
                    rows[i, index[m], 1] += 1


@numba.njit(cache=True, nogil=True)
def whole_rows(low, rows, kind, n_units, n, z):
    """The similarities of finished accumulators, float32 [block, s]; those that never meet have -a_i a_j."""
    r = np.empty(rows.shape[:2], np.float32)
    for b in range(len(rows)):
        i = low + b
        for j in range(len(n)):
            if rows[b, j, 1] > 0:
                r[b, j] = similarity(kind, n_units, n[i], z[i], n[j], z[j], rows[b, j, 1], rows[b, j, 0])
            else:
                r[b, j] = -(z[i, 0] * z[i, 1]) * (z[j, 0] * z[j, 1])
    return r
