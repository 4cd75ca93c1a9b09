"""How much memory the pair sums take, decided and printed before anything is read."""

from typing import NamedTuple

from pipeline.core.errors import PipelineError

MIB = 1 << 20
ROW_ENTRY_BYTES = 16  # an accumulator's sum and count, float64


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
    """Bytes that a nonzero takes at the peak: index and float32 value as read, the same again as pooling leaves them,
    int32 position and remaining (see ``columns``)."""
    return 2 * (index_bytes + 4) + 4 + index_bytes


def plan_blocks(
    n_latents: int, n_units: int, nnz: int, index_bytes: int, memory_bytes: int, threads: int, shared: bool
) -> BlockPlan:
    """The plan with the fewest reads that fits ``memory_bytes`` a process with ``threads`` tasks at once.

    ``shared``: the tasks are threads of one process and may share codes in memory. One row of accumulators is
    ``ROW_ENTRY_BYTES`` times ``n_latents``.

    >>> print(plan_blocks(16384, 1_000_000, 50_000_000, 2, 2 << 30, 2, shared=True))
    64 blocks of 256 latents, codes in memory, 878 MiB a process
    >>> print(plan_blocks(16384, 1_000_000, 50_000_000, 2, 1 << 30, 1, shared=False))
    7 blocks of 2688 latents, slabs of 7,456,540 entries, 800 MiB a process
    """
    resident_bytes = nnz * entry_bytes(index_bytes) + 20 * n_units + threads * 24 * n_latents
    if shared and resident_bytes <= memory_bytes and nnz < 2**31:
        rows = max(1, min(256, -(-n_latents // (8 * threads))))
        return BlockPlan(True, rows, -(-n_latents // rows), nnz, resident_bytes)
    # An eighth for the slab, three quarters of the rest for the accumulators.
    row_bytes, slab_entry_bytes = ROW_ENTRY_BYTES * n_latents, entry_bytes(index_bytes)
    slab_entries = max(1, min(nnz, memory_bytes // (8 * threads * slab_entry_bytes)))
    slab_bytes = threads * slab_entries * slab_entry_bytes
    rows = min(n_latents, (memory_bytes - slab_bytes) * 3 // (4 * threads * row_bytes))
    if rows < 1:
        raise PipelineError(
            f"one row of {n_latents:,} sums and a slab of codes do not fit {memory_bytes / MIB:,.0f} MiB; "
            "raise machine.correlation_memory_mib"
        )
    needed = slab_bytes + threads * rows * row_bytes
    return BlockPlan(False, rows, -(-n_latents // rows), slab_entries, needed)
