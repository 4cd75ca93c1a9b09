"""The tree again with other documents: a bootstrap of whole documents without a second pass over the codes.

Documents are dealt into a few groups once; the sums of each group are kept for the candidate pairs only. A replicate
draws groups with replacement, which is a weighted sum of those, and clusters again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from pipeline.tree.correlation import Correlation, Pairs
from pipeline.tree.dendrogram import cluster, sparse_average_linkage
from pipeline.tree.feature_tree import FeatureTree
from pipeline.tree.kernels import SIMILARITIES, columns, latent_sums, similarities, standardisation
from pipeline.tree.units import Source, Sums

SPARSE_FROM = 4096  # latents from which the same groups are had far cheaper from the sparse graph
GROUPS = 20  # of documents; their sums on the candidate pairs take 12 bytes a pair and group
SLAB_ENTRIES = 1 << 24  # nonzeros read at a time: 200 MiB with 16-bit indices


class GroupSums(NamedTuple):
    """Sums per group of documents g: of units, per latent, and per candidate pair p."""

    n_units: np.ndarray  # int64 [g]
    n: np.ndarray  # int64 [g, s]
    s: np.ndarray  # float64 [g, s]
    q: np.ndarray  # float64 [g, s]
    pairs: Pairs  # the candidates
    n_ij: np.ndarray  # int32 [p, g]
    s_ij: np.ndarray  # float64 [p, g]


def group_of_document(document: np.ndarray) -> np.ndarray:
    """A group in [0, GROUPS) for every document: scattered (Fibonacci hashing), so that no group is one kind of
    text even where the corpus is sorted or dealt in turn."""
    mixed = (document.astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(32)) % np.uint64(GROUPS)).astype(np.int64)


def group_sums(codes: Path, correlation: Correlation, candidates: np.ndarray) -> GroupSums:
    """One pass over the codes store for the pairs where ``candidates`` (bool [p]) is true."""
    source = Source(codes, correlation.scale, correlation.window)
    pairs = Pairs(*(column[candidates] for column in correlation.pairs))
    n_latents = len(correlation.sums.n)
    first_pair = np.searchsorted(pairs.i, np.arange(n_latents + 1))
    sums = GroupSums(
        np.zeros(GROUPS, np.int64),
        np.zeros((GROUPS, n_latents), np.int64),
        np.zeros((GROUPS, n_latents)),
        np.zeros((GROUPS, n_latents)),
        pairs,
        np.zeros((len(pairs.i), GROUPS), np.int32),
        np.zeros((len(pairs.i), GROUPS)),
    )
    for units in source.slabs(SLAB_ENTRIES):
        group = group_of_document(units.document)
        sums.n_units[:] += np.bincount(group, minlength=GROUPS)
        group_k = np.repeat(group, np.diff(units.indptr))
        for g in range(GROUPS):
            mine = group_k == g
            more = latent_sums(units.index[mine], units.value[mine], n_latents)
            for total, addend in zip((sums.n, sums.s, sums.q), more, strict=True):
                total[g] += addend
        where = columns(units.indptr, units.index, 0, n_latents)
        _add_candidates(*where, units.index, units.value, group_k, first_pair, pairs.j, sums.n_ij, sums.s_ij)
    return sums


@numba.njit(cache=True, nogil=True)
def _add_candidates(offset, position, remaining, index, value, group_k, first_pair, pair_j, counts, totals):
    """``counts[p, g] += 1`` and ``totals[p, g] += x_i x_j`` for the candidate pairs p = (i, j) of every unit."""
    slot = np.full(len(offset) - 1, -1, np.int64)
    for i in range(len(offset) - 1):
        if first_pair[i] == first_pair[i + 1]:
            continue
        for p in range(first_pair[i], first_pair[i + 1]):
            slot[pair_j[p]] = p
        for at in range(offset[i], offset[i + 1]):
            k = position[at]
            x, g = np.float64(value[k]), group_k[k]
            for m in range(k + 1, k + 1 + np.int64(remaining[at])):
                p = slot[index[m]]
                if p >= 0:
                    counts[p, g] += 1
                    totals[p, g] += x * value[m]
        for p in range(first_pair[i], first_pair[i + 1]):
            slot[pair_j[p]] = -1


def replicate(correlation: Correlation, sums: GroupSums, weights: np.ndarray) -> Correlation:
    """The correlation if each group of documents had been there ``weights[g]`` times, on the candidate pairs."""
    total = Sums(int(weights @ sums.n_units), weights @ sums.n, weights @ sums.s, weights @ sums.q)
    n_ij, s_ij = sums.n_ij @ weights, sums.s_ij @ weights
    i, j = sums.pairs.i, sums.pairs.j
    kind = SIMILARITIES[correlation.similarity]
    r = similarities(kind, total.n_units, total.n, standardisation(kind, *total), i, j, n_ij, s_ij)
    pairs = Pairs(i, j, n_ij, s_ij, r.astype(np.float32))
    return correlation._replace(sums=total, pairs=pairs, significant=np.zeros(len(i), bool))


def bootstrap_trees(
    correlation: Correlation, sums: GroupSums, tree: FeatureTree, method: str, replicates: int, seed: int
) -> Iterator[FeatureTree]:
    """The tree over the same latents, rebuilt from resampled documents."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        weights = rng.multinomial(GROUPS, np.full(GROUPS, 1 / GROUPS))
        again = replicate(correlation, sums, weights)
        if method == "average" and tree.n_leaves > SPARSE_FROM:
            yield FeatureTree(sparse_average_linkage(again, tree.latents), tree.latents)
        else:
            yield FeatureTree(cluster(again, tree.latents, method), tree.latents)
