"""The whole matrix of similarities as an array, for dictionaries whose square fits: 16,384 latents are 1 GiB."""

from pathlib import Path

import dask
import numpy as np
import zarr

from pipeline.activations.codes import CodesStore
from pipeline.errors import PipelineError
from pipeline.hierarchy.correlation import Correlation, Hands, plan_for
from pipeline.hierarchy.kernels import SIMILARITIES, add_whole_rows, whole_rows
from pipeline.hierarchy.source import Source

DENSE_UP_TO = 16384  # latents
CHUNK_ROWS = 256  # at most; 16 MiB at 16,384 latents


def check_dense(n_latents: int) -> None:
    """Refuse before anything is computed."""
    if n_latents > DENSE_UP_TO:
        raise PipelineError(
            f"correlation.dense: a square matrix of {n_latents:,} latents takes {4 * n_latents**2 / 2**30:,.0f} GiB; "
            f"it is written up to {DENSE_UP_TO:,} latents, set dense to false"
        )


def write_dense(folder: Path, source: Source, result: Correlation, memory_mib: int, hands: Hands) -> str:
    """Add the array ``matrix`` float32 [s, s] to the group of ``result.scale``; returns the plan.

    Every task computes a block of rows from the codes and writes it as whole chunks, so tasks never meet. The sums
    are those of the pairs, added in the same order, hence so are the bits.
    """
    n_latents = CodesStore.open(source.path).n_latents
    plan = plan_for(source, memory_mib, hands._replace(shared=False))  # dense rows, whoever computes them
    chunk = min(CHUNK_ROWS, plan.rows_per_block)
    plan = plan._replace(rows_per_block=plan.rows_per_block // chunk * chunk)
    plan = plan._replace(n_blocks=-(-n_latents // plan.rows_per_block))
    array = zarr.open_group(folder, mode="a", path=result.scale).create_array(
        "matrix", shape=(n_latents, n_latents), chunks=(chunk, n_latents), dtype=np.float32, overwrite=True
    )
    kind, sums = SIMILARITIES[result.similarity], result.sums
    measure = dask.delayed((kind, sums.n_units, sums.n, result.standardisation()), traverse=False)
    there = source._replace(path=source.path.absolute()), plan.slab_entries
    place = folder.absolute() / result.scale / array.basename
    task = dask.delayed(_write_rows, pure=False)
    dask.compute(*[task(place, there, measure, block) for block in plan.blocks(n_latents)])
    return str(plan)


def _write_rows(place: Path, codes: tuple[Source, int], measure: tuple, block: tuple[int, int]) -> None:
    """One task: the rows of a block of latents."""
    (source, slab_entries), (low, high) = codes, block
    sums = np.zeros((high - low, len(measure[2]), 2))
    for units in source.slabs(slab_entries):
        add_whole_rows(units.indptr, units.index, units.value, low, sums)
    zarr.open_array(place, mode="r+")[low:high] = whole_rows(low, sums, *measure)
