"""Methods choose their edits: cell by cell, in this process or side by side in several.

Light to import: only a worker opens what methods look at.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings, deaf_children, die_with_parent
from pipeline.core.settings import RunSettings
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.settings import UnlearningSettings


class Sources(NamedTuple):
    """Where everything lies that a method is given, and the settings it is opened with."""

    model: Path
    sae: Path
    corpus: Path
    dendrogram: Path
    features: Path
    store: Path
    documents: Path  # what the model makes of the pool is kept here
    targets: dict[str, tuple[str, ...]]  # level -> what is to be forgotten there
    run: RunSettings
    machine: MachineSettings
    activations: ActivationsSettings
    scope: ScopeSettings
    unlearning: UnlearningSettings


class Cell(NamedTuple):
    """One method on the target of one level, and the folder of its edit."""

    level: str
    method: str
    folder: Path


def best_objective(cell: Cell) -> float:
    """The dev objective of a finished cell."""
    return min(row["objective"] for row in read_json(cell.folder / "sweep.json")["candidates"])


def choose_all(sources: Sources, cells: Sequence[Cell]) -> Iterator[None]:
    """Finish every cell, in order; results are the same however many processes compute them."""
    if not cells and sources.documents.exists():
        return
    workers = max(1, min(sources.machine.unlearn_workers, len(cells)))
    if workers == 1:
        _open(sources)
        _read_documents()
        yield from map(_choose, cells)
        return
    fresh = multiprocessing.get_context("spawn")  # a forked torch hangs in its threads
    with ProcessPoolExecutor(workers, fresh, initializer=_open_or_keep_why, initargs=(sources,)) as pool:
        with deaf_children():  # the first task starts them all
            reading = pool.submit(_read_documents)
        try:
            reading.result()
            yield from pool.map(_choose, cells)
        except BrokenProcessPool:
            raise PipelineError(
                f"one of {workers} processes that choose edits was killed, as Linux does when memory is short; lower "
                "machine.unlearn_workers"
            ) from None


def _open(sources: Sources) -> None:
    """What a worker starts with; only a worker waits for torch and transformers."""
    global _chooser
    die_with_parent()
    from pipeline.unlearning.worker import Chooser

    _chooser = Chooser(sources)


def _open_or_keep_why(sources: Sources) -> None:
    """The pool would hide what its initializer raises; the worker's next task raises it again."""
    global _refused
    try:
        _open(sources)
    except Exception as error:
        _refused = error


_refused: Exception | None = None  # in a worker process


def _read_documents() -> None:
    if _refused is not None:
        raise _refused
    _chooser.read_documents()


def _choose(cell: Cell) -> None:
    if _refused is not None:
        raise _refused
    _chooser.choose(cell)
