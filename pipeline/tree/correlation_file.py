"""``data/correlation.zarr``: one group a scale, readable array by array; where its square fits, also the whole matrix.

For a picture the similarities stand in an order of the tree: blocks on the diagonal are groups.
"""

from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr

from pipeline.codes.store import CodesStore
from pipeline.core.errors import PipelineError
from pipeline.tree.correlation import Correlation, Hands, Pairs, plan_for
from pipeline.tree.kernels import SIMILARITIES, add_whole_rows, whole_rows
from pipeline.tree.units import Source, Sums

PAIR_CHUNK = 1 << 20  # pairs in a chunk: 4 MiB of int32


def write_correlation(path: Path, result: Correlation, attributes: dict[str, Any]) -> None:
    """Add the group of ``result.scale`` to the Zarr folder at ``path``, in place of one that a killed run left."""
    group = zarr.open_group(path, mode="a").create_group(result.scale, overwrite=True)
    for name, array in _arrays(result).items():
        chunk = (max(1, min(PAIR_CHUNK, len(array))),)
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=chunk)[:] = array
    kept = {name: getattr(result, name) for name in ("scale", "window", "similarity", "floor")}
    group.attrs.update({**attributes, **kept, "n_units": result.sums.n_units})


def _arrays(result: Correlation) -> dict[str, np.ndarray]:
    sums, pairs = result.sums, result.pairs
    latents = {"n": sums.n, "s": sums.s, "q": sums.q}
    return {**latents, **pairs._asdict(), "significant": result.significant}


def read_correlation(path: Path, scale: str) -> Correlation:
    """What ``write_correlation`` wrote."""
    if not (path / scale).is_dir():
        raise PipelineError(f"{path}/{scale} is missing; run `uv run dvc repro correlate`")
    group = zarr.open_group(path, mode="r", path=scale)
    get = {name: group[name][:] for name in ("n", "s", "q", *Pairs._fields, "significant")}
    about = group.attrs
    return Correlation(
        scale=scale,
        window=about["window"],
        similarity=about["similarity"],
        floor=about["floor"],
        sums=Sums(about["n_units"], get["n"], get["s"], get["q"]),
        pairs=Pairs(*(get[name] for name in Pairs._fields)),
        significant=get["significant"],
    )


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


def binned_similarity(correlation: Correlation, order: np.ndarray, cells: int) -> np.ndarray:
    """Mean similarity of the pairs of two stretches of ``order`` (latent ids), float64 [cells, cells].

    With at most ``cells`` latents every cell is one pair. Sparse plus rank one again: the sum over a cell is that of
    r + a a' over its listed pairs less (sum of a) (sum of a'), so no square matrix of all latents is built.
    """
    cells = min(cells, len(order))
    cell_of = np.full(len(correlation.sums.n), -1)
    cell_of[order] = np.arange(len(order)) * cells // len(order)
    a, (i, j, _, _, r) = correlation.rank_one(), correlation.pairs
    row, column = cell_of[i], cell_of[j]
    listed = (row >= 0) & (column >= 0)
    row, column = row[listed], column[listed]
    weight = r[listed] + a[i[listed]] * a[j[listed]]
    total = np.bincount(row * cells + column, weight, cells * cells).reshape(cells, cells)
    size = np.bincount(cell_of[order]).astype(float)
    a_cell, a_square = (np.bincount(cell_of[order], a[order] ** power) for power in (1, 2))
    total = total + total.T - np.outer(a_cell, a_cell) + np.diag(a_square)
    pairs = np.outer(size, size) - np.diag(size)
    return np.divide(total, pairs, out=np.ones_like(total), where=pairs > 0)
