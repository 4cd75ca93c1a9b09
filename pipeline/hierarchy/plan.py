"""How much memory the pair sums take, decided and printed before anything is read."""

from typing import NamedTuple

from pipeline.errors import PipelineError

MIB = 1 << 20


class BlockPlan(NamedTuple):
    """How one scale is computed; ``bytes_per_process`` is what the arrays take at the peak.

    ``resident``: the codes are read once and shared by all threads. Otherwise every task reads the codes again, in
    slabs, and keeps ``rows_per_block`` dense accumulator rows of ``n_latents`` sums and counts.
    """

    resident: bool
    rows_per_block: int
    n_blocks: int
    slab_entries: int  # nonzeros read at a time
    bytes_per_process: int

    def __str__(self) -> str:
        how = "codes in memory" if self.resident else f"slabs of {self.slab_entries:,} entries"
        return (
            f"{self.n_blocks} blocks of {self.rows_per_block} latents, {how}, "
            f"{self.bytes_per_process / MIB:,.0f} MiB a process"
        )

    def blocks(self, n_latents: int) -> list[tuple[int, int]]:
        """The half-open ranges of latents."""
        step = self.rows_per_block
        return [(low, min(low + step, n_latents)) for low in range(0, n_latents, step)]


def entry_bytes(index_bytes: int) -> int:
    """Bytes a nonzero takes in memory: index, float32 value, int32 position and remaining (see ``columns``)."""
    return index_bytes + 4 + 4 + index_bytes


def plan_blocks(
    n_latents: int, n_units: int, nnz: int, index_bytes: int, memory_bytes: int, threads: int, shared: bool
) -> BlockPlan:
    """The plan with the fewest reads that fits ``memory_bytes`` a process with ``threads`` tasks at once.

    ``shared``: the tasks are threads of one process and may share codes in memory. One row of accumulators is
    12 bytes (float64 sum, int32 count) times ``n_latents``.

    >>> print(plan_blocks(16384, 1_000_000, 50_000_000, 2, 2 << 30, 2, shared=True))
    64 blocks of 256 latents, codes in memory, 595 MiB a process
    >>> print(plan_blocks(16384, 1_000_000, 50_000_000, 2, 1 << 30, 1, shared=False))
    5 blocks of 4096 latents, slabs of 8,388,608 entries, 896 MiB a process
    """
    resident_bytes = nnz * entry_bytes(index_bytes) + 20 * n_units + threads * 16 * n_latents
    if shared and resident_bytes <= memory_bytes and nnz < 2**31:
        rows = max(1, min(256, -(-n_latents // (8 * threads))))
        return BlockPlan(True, rows, -(-n_latents // rows), nnz, resident_bytes)
    slab_entries = max(1, min(nnz, memory_bytes // (8 * threads) // (2 * entry_bytes(index_bytes))))
    slab_bytes = threads * slab_entries * 2 * entry_bytes(index_bytes)
    rows = (memory_bytes - slab_bytes) * 3 // 4 // (threads * 12 * n_latents)
    if rows < 1:
        raise PipelineError(
            f"one row of {n_latents:,} sums and a slab of codes do not fit {memory_bytes / MIB:,.0f} MiB; "
            "raise correlation.memory_mib"
        )
    rows = min(rows, n_latents)
    return BlockPlan(False, rows, -(-n_latents // rows), slab_entries, slab_bytes + threads * rows * 12 * n_latents)
