"""Similarity of all pairs of latents from their sparse codes, out of core, as dask tasks over blocks of latents.

Codes are never made dense. Splitting by latent instead of by token leaves nothing to reduce: memory is bounded, tasks
are pure, and the result is the same to the last bit whatever the block size, the slabs, the order, the number of
workers, or a worker that died and was replaced.

A co-firing is significant by the exact tail of its count, with Bonferroni over all pairs.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dask
import numba
import numpy as np

from pipeline.codes.store import CodesStore
from pipeline.core.errors import PipelineError
from pipeline.tree.kernels import SIMILARITIES, add_slab, columns, pairs_of_block, pairs_of_rows, standardisation
from pipeline.tree.plan import MIB, BlockPlan, plan_blocks
from pipeline.tree.units import Source, Sums, sums_of


def significant_pairs(
    n_units: int, n: np.ndarray, i: np.ndarray, j: np.ndarray, n_ij: np.ndarray, alpha: float
) -> np.ndarray:
    """True where P(count >= n_ij) < alpha / M for two latents that fire independently, bool [p].

    The count of common units is then hypergeometric (the two firing counts are given). M is the number of pairs of
    latents that fire at all, so that the whole matrix has less than ``alpha`` false pairs expected. Normal theory
    (r sqrt(N)) is not used: counts are tiny and it passes tens of thousands of false pairs.
    """
    return _tail_below(n_units, n, i, j, n_ij, _log_bound(n, alpha))


def enough_units(n_units: int, n: np.ndarray, alpha: float) -> bool:
    """Whether any pair at all could be significant: none is less likely than two that share one half of the units."""
    half = n_units // 2
    return log_tail(n_units, half, half, half) < _log_bound(n, alpha)


def _log_bound(n: np.ndarray, alpha: float) -> float:
    alive = int(np.count_nonzero(n))
    return math.log(alpha / max(1, alive * (alive - 1) // 2))


@numba.njit(cache=True, nogil=True)
def _tail_below(n_units, n, i, j, n_ij, log_bound):
    below = np.zeros(len(i), np.bool_)
    for p in range(len(i)):
        below[p] = log_tail(n_units, n[i[p]], n[j[p]], n_ij[p]) < log_bound
    return below


@numba.njit(cache=True, nogil=True)
def log_tail(n_units, n_i, n_j, n_ij):
    """log P(X >= n_ij), X hypergeometric: n_j draws without replacement from n_units of which n_i are marked.

    The first term through log-gamma, the rest by the ratio of neighbours, which is below 1 above the mean. At or
    below the mean the tail is no evidence and 0 (probability 1) is returned.
    """
    if n_ij <= n_i * (n_j / n_units):
        return 0.0
    first = _log_choose(n_i, n_ij) + _log_choose(n_units - n_i, n_j - n_ij) - _log_choose(n_units, n_j)
    total, term = 1.0, 1.0
    for k in range(n_ij, min(n_i, n_j)):
        term *= (n_i - k) / (k + 1) * ((n_j - k) / (n_units - n_i - n_j + k + 1))
        total += term
        if term < 1e-16 * total:
            break
    return min(0.0, first + math.log(total))


@numba.njit(cache=True, nogil=True)
def _log_choose(n, k):
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


KEEP_ALL = -2.0  # below every similarity
LIBRARIES_MIB = 512  # of a worker before it computes anything: the interpreter, numpy, numba, distributed
FEWEST = 2  # units in common, where a floor holds: two latents that fire ten times and meet once correlate by .1
# A similarity that is never called significant: tokens are not independent, and shifting every latent around the store
# (see ``null``) left a few pairs in half a million whose counts pass the exact tail, all with r below 0.02.
WEAK = 0.02


class Pairs(NamedTuple):
    """Co-firing pairs i < j, ascending: counts ``n_ij`` int32, ``s_ij`` = sum x_i x_j float64, similarity float32."""

    i: np.ndarray
    j: np.ndarray
    n_ij: np.ndarray
    s_ij: np.ndarray
    r: np.ndarray


class Correlation(NamedTuple):
    """One scale's result.

    Listed are all pairs that ever fire together (floor None), or those with ``r > floor`` that do so in at least
    ``FEWEST`` units. A pair that never does has similarity ``-a_i a_j`` (``rank_one``): with all pairs listed nothing
    is lost.
    """

    scale: str
    window: int | None
    similarity: str
    floor: float | None
    sums: Sums
    pairs: Pairs
    significant: np.ndarray  # bool [p]

    def standardisation(self) -> np.ndarray:
        return standardisation(SIMILARITIES[self.similarity], *self.sums)

    def rank_one(self) -> np.ndarray:
        """``a`` [s] with r = -a_i a_j for pairs that never co-fire: mean / spread (0 where r has no mean in it)."""
        return self.standardisation().prod(axis=1)

    def census(self, alpha: float) -> str:
        """Latents that a correlation is not defined for, duplicates, and whether there is enough text, in words."""
        n_units, n = self.sums.n_units, self.sums.n
        dead = int((n == 0).sum())
        constant = int((~has_variance(self.sums) & (n > 0)).sum())
        always, same = int((n == n_units).sum()) if n_units else 0, int((self.pairs.r >= 1 - 1e-6).sum())
        few = "" if enough_units(n_units, n, alpha) else " (too few units for any pair to be)"
        return (
            f"{self.scale}: {n_units:,} units, {len(n) - dead:,} of {len(n):,} latents fire "
            f"({dead} dead, {constant} without variance, {always} always on, {same} duplicate pairs), "
            f"{len(self.pairs.i):,} pairs kept, {int(self.significant.sum()):,} significant{few}"
        )


def has_variance(sums: Sums) -> np.ndarray:
    """bool [s]; false for latents that are dead or have the same value in every unit."""
    return standardisation(SIMILARITIES["pearson"], *sums)[:, 1] > 0


class Hands(NamedTuple):
    """Who computes: ``threads`` tasks at once in a process; ``shared``: in this one, which has the codes in memory."""

    threads: int
    shared: bool


@contextlib.contextmanager
def computing(scheduler: str, workers: int, memory_mib: int) -> Iterator[Hands]:
    """Dask's scheduler for the block: threads of this process, as many processes of one thread, or one at an address
    (whose workers must see the same folders)."""
    if scheduler == "threads":
        with dask.config.set(scheduler="threads", num_workers=workers):
            yield Hands(workers, True)
        return
    from distributed import KilledWorker

    from pipeline.core.processes import local_workers, workers_at

    try:
        if scheduler == "processes":
            with local_workers(workers, (memory_mib + LIBRARIES_MIB) * MIB):
                yield Hands(1, False)
            return
        with workers_at(scheduler, __name__, Path.cwd()) as client:
            yield Hands(max(client.nthreads().values()), False)
    except KilledWorker as error:
        raise PipelineError(
            f"several workers died on one block ({error}); give each more memory or lower machine.correlation_memory_mib"
        ) from None


def plan_for(source: Source, memory_mib: int, hands: Hands) -> BlockPlan:
    """The plan of one scale. Pooling only merges entries, so the store's own counts bound both scales."""
    store = CodesStore.open(source.path)
    index_bytes = 2 if store.n_latents <= 1 << 16 else 4
    return plan_blocks(store.n_latents, store.n_tokens, store.nnz, index_bytes, memory_mib * MIB, *hands)


def correlate(source: Source, similarity: str, floor: float | None, alpha: float, plan: BlockPlan) -> Correlation:
    """All pairs of one scale, computed by the scheduler of the surrounding ``computing``."""
    n_latents = CodesStore.open(source.path).n_latents
    if plan.resident:
        units = source.everything()
        sums = sums_of(iter([units]), n_latents)
        codes = dask.delayed((columns(units.indptr, units.index, 0, n_latents), units), traverse=False)
        task = dask.delayed(_pairs_in_memory, pure=False)
    else:
        sums = sums_of(source.slabs(plan.slab_entries), n_latents)
        there = source._replace(path=source.path.absolute())  # a worker's own folder may be another
        codes = dask.delayed((there, plan.slab_entries), traverse=False)
        task = dask.delayed(_pairs_by_slabs, pure=False)
    kind = SIMILARITIES[similarity]
    least = (KEEP_ALL, 1) if floor is None else (floor, FEWEST)
    measure = dask.delayed((kind, sums.n_units, sums.n, standardisation(kind, *sums), *least), traverse=False)
    tasks = [task(codes, measure, block) for block in plan.blocks(n_latents)]
    pairs = Pairs(*map(np.concatenate, zip(*dask.compute(*tasks), strict=True)))
    significant = significant_pairs(sums.n_units, sums.n, pairs.i, pairs.j, pairs.n_ij, alpha) & (pairs.r > WEAK)
    return Correlation(source.scale, source.window, similarity, floor, sums, pairs, significant)


def _pairs_in_memory(codes: tuple, measure: tuple, block: tuple[int, int]) -> tuple:
    """One task: a block of latents from codes that all tasks share."""
    where, units = codes
    return pairs_of_rows(*block, *where, units.index, units.value, *measure)


def _pairs_by_slabs(codes: tuple[Source, int], measure: tuple, block: tuple[int, int]) -> tuple:
    """One task: a block of latents, reading the codes slab by slab into dense accumulator rows."""
    (source, slab_entries), (low, high) = codes, block
    n_latents = len(measure[2])
    rows = np.zeros((high - low, n_latents, 2))
    for units in source.slabs(slab_entries):
        where = columns(units.indptr, units.index, low, high)
        add_slab(*where, units.index, units.value, rows)
        del units, where  # before the next slab is read
    return pairs_of_block(low, rows, *measure)
