"""Who computes the cells: this process, or dask workers side by side."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.settings.resolve import Params
from pipeline.study.cells import Cell, compute


def computing(groups: list[list[Cell]], folder: Path, params: Params) -> Iterator[int]:
    """Compute the groups, each in one process, so that its cells share what is open; yields as each is done.

    A worker that is killed loses the cell in hand; dask gives its group to another, which skips what is kept.
    """
    if params.study.workers == 1 or len(groups) < 2:
        yield from (compute(group, folder, params) for group in groups)
        return
    from distributed import as_completed

    from pipeline.workers import local_workers

    with local_workers(params.study.workers) as client:
        asked = [client.submit(compute, group, folder, params, pure=False) for group in groups]
        for future in as_completed(asked):
            yield future.result()
