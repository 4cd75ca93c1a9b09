"""Let methods choose their edits: cell by cell, in this process or side by side in several."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pipeline.files import write_json
from pipeline.language_model.loading import pick_device
from pipeline.orphans import die_with_parent
from pipeline.runtime import prepare_process
from pipeline.settings.activations import ActivationsSettings
from pipeline.settings.run import RunSettings
from pipeline.settings.scope import ScopeSettings
from pipeline.settings.unlearning import UnlearningSettings
from pipeline.unlearning.case import Case, choice_of
from pipeline.unlearning.curve import area, points
from pipeline.unlearning.edit import save_edit
from pipeline.unlearning.methods import METHODS
from pipeline.unlearning.subject import count_training_texts, open_case, open_forest, open_pool, open_subject


class Sources(NamedTuple):
    """Where everything lies that a method is given, and the settings it is opened with."""

    model: Path
    sae: Path
    corpus: Path
    dendrogram: Path
    run: RunSettings
    activations: ActivationsSettings
    scope: ScopeSettings
    unlearning: UnlearningSettings


class Cell(NamedTuple):
    """One method on the target of one level, and the folder of its edit."""

    level: str
    method: str
    folder: Path


class Chooser:
    """Opens what all cells share once, and one level's case after the other."""

    def __init__(self, sources: Sources) -> None:
        prepare_process(sources.run.threads)
        settings, device = sources.unlearning, pick_device(sources.run.device)
        self.sources, self.settings = sources, settings
        self.subject = open_subject(
            sources.model, sources.sae, sources.corpus, sources.activations, settings.targets, device
        )
        self.forest, self.firing = open_forest(sources.dendrogram), count_training_texts(self.subject)
        searched = any("scope_npo" in settings.methods_at(level) for level in self.subject.targets)
        pool = open_pool(self.subject, self.forest, sources.corpus, sources.run.seed) if searched else None
        self.documents, self.case = pool, None

    def choose(self, cell: Cell) -> float:
        """Let the method choose; keeps the edit, its sweep and its seconds; returns the dev objective."""
        started = time.monotonic()
        choice = choice_of(self._case(cell.level), cell.method, METHODS[cell.method])
        save_edit(cell.folder, choice.edit)
        seconds = round(time.monotonic() - started, 2)
        sweep = {"seconds": seconds, "area": area(points(choice.sweep)), "candidates": choice.sweep}
        write_json(cell.folder / "sweep.json", sweep)
        return min(row["objective"] for row in choice.sweep)

    def _case(self, level: str) -> Case:
        if self.case is None or self.case.level != level:
            seed, scope = self.sources.run.seed, self.sources.scope
            case = open_case(self.subject, self.forest, self.firing, level, self.settings, seed)
            self.case = case._replace(documents=self.documents, scope=scope)
        return self.case


def choose_all(sources: Sources, cells: Sequence[Cell]) -> Iterator[float]:
    """The dev objective of every cell, in order; results are the same however many processes compute them."""
    workers = min(sources.unlearning.workers, len(cells))
    if workers == 1:
        yield from map(Chooser(sources).choose, cells)
        return
    fresh = multiprocessing.get_context("spawn")  # a forked torch hangs in its threads
    with ProcessPoolExecutor(workers, fresh, initializer=_open, initargs=(sources,)) as pool:
        yield from pool.map(_choose, cells)


def _open(sources: Sources) -> None:
    """What a worker starts with."""
    global _chooser
    die_with_parent()
    _chooser = Chooser(sources)


def _choose(cell: Cell) -> float:
    return _chooser.choose(cell)
