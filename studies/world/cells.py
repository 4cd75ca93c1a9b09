"""Cells of the study: listed, grouped by what they share, computed where they are missing, kept one file each.

This process computes them, or dask workers side by side.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple

from pipeline.core.files import read_json, write_json
from pipeline.evaluation.forgetting import open_exam
from pipeline.params import Params
from studies.world.curves import SHUFFLED, curve_cell
from studies.world.cuts import cut_cell
from studies.world.few_shot import ARMS, few_shot_cell
from studies.world.forgetting import TWINS, case_of, forgetting_cell
from studies.world.headline import headline_cell
from studies.world.homes import never_taught, open_home
from studies.world.reach import CLAMPS, reach_cell
from studies.world.relearning import relearning_cell
from studies.world.settings import StudySettings


class Cell(NamedTuple):
    """One computation: what kind, on which seed and target, and which method or arm."""

    kind: str  # forgetting, cut, few_shot, reach, relearning, curve, random_dictionary or headline
    seed: int
    level: str
    node: int
    name: str

    def arm(self) -> tuple[str, int]:
        """The arm of a few-shot cell, or the clamp of one of reach, and how many entities it is given."""
        arm, given = self.name.rsplit("_", 1)
        return arm, int(given)

    def shares(self) -> tuple:
        """What is opened once for cells of the same home and target."""
        return self.seed, self.kind == "random_dictionary", self.level, self.node

    def home(self, folder: Path) -> Path:
        """The data of its seed; a control's own dictionary has a home of its own."""
        return folder / f"seed_{self.seed}" / ("random_home" if self.kind == "random_dictionary" else "home") / "data"

    def file(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"seed_{self.seed}" / self.kind / f"{self.level}_{self.node}" / f"{self.name}.json"


def plan(settings: StudySettings) -> list[Cell]:
    """All cells, so ordered that whatever is finished is a fair sample of seeds, levels and kinds.

    Every list of targets begins at once and ends at once, the short ones in longer strides. The cells of one target are
    neighbours, for they share its case.
    """
    ranked = [
        (number / len(targets.nodes), Cell(kind, seed, targets.level, node, name))
        for targets in _lists(settings)
        for number, node in enumerate(targets.nodes)
        for seed in targets.worlds(number)
        for kind, name in targets.names
    ]
    cells = dict.fromkeys(cell for _, cell in sorted(ranked, key=lambda pair: (pair[0], pair[1].seed)))
    first: dict[tuple, int] = {}
    for place, cell in enumerate(cells):
        first.setdefault(cell.shares(), place)
    return sorted(cells, key=lambda cell: first[cell.shares()])


class Targets(NamedTuple):
    """A list of targets and what is computed of each, in all worlds or in one by turns."""

    seeds: tuple[int, ...]
    level: str
    nodes: tuple[int, ...]
    names: list[tuple[str, str]]  # kind and name
    by_turns: bool = False

    def worlds(self, number: int) -> tuple[int, ...]:
        """The seeds of the target that is so far down the list."""
        return (self.seeds[number % len(self.seeds)],) if self.by_turns else self.seeds


def _lists(settings: StudySettings) -> Iterator[Targets]:
    seeds, more, turns = settings.seeds, settings.headline_seeds, settings.by_turns
    for level, nodes in settings.nodes.items():
        methods = settings.methods[level]
        forgetting = [("forgetting", name) for name in ("none", *methods)]
        yield Targets(seeds, level, nodes, forgetting, level in turns)
        yield Targets(more, level, nodes[:1], forgetting)
        if "level_cut" in methods:
            yield Targets(seeds, level, nodes, [("cut", "level_cut")], level in turns or "cut" in turns)
        if "group_adapter" in methods:
            twins = [("forgetting", name) for name in TWINS]
            yield Targets(seeds, level, nodes, twins, level in turns or "twins" in turns)
    yield Targets(more, "world", (0,), [("headline", "all")])
    curves = [("curve", name) for name in (*settings.curve_methods, *SHUFFLED)]
    yield Targets(seeds, "topic", settings.curve_topics, curves, "curve" in turns)
    arms = [("few_shot", f"{arm}_{given}") for given, arm in product(settings.few_shot_given, ARMS)]
    yield Targets(seeds, "topic", settings.few_shot_topics, arms)
    clamps = [("reach", f"{method}_{given}") for given, method in product(settings.reach_given, CLAMPS)]
    yield Targets(seeds, "topic", settings.reach_topics, clamps)
    attacked = ("none", "never_taught", *settings.relearning_methods)
    yield Targets(seeds, "topic", settings.relearning_topics, [("relearning", name) for name in attacked])
    yield Targets(seeds, "topic", settings.wide_topics, [("forgetting", name) for name in settings.wide_methods])
    strangers = settings.random_dictionary_methods
    yield Targets(seeds, "topic", settings.wide_topics, [("random_dictionary", name) for name in strangers])


def missing(cells: Iterable[Cell], folder: Path) -> list[list[Cell]]:
    """The cells without a result; neighbours of one home and target together, for they share its case."""
    lacking = [cell for cell in cells if not cell.file(folder).exists()]
    return [list(group) for _, group in groupby(lacking, key=Cell.shares)]


def compute(group: list[Cell], folder: Path, wanted: StudySettings, params: Params) -> int:
    """Compute and keep the cells of one target; returns how many."""
    first = group[0]
    home, seed = first.home(folder), first.seed
    opened = open_home(home, params.activations, seed)
    if first.kind == "headline":
        write_json(first.file(folder), headline_cell(opened, home, params, seed))
        return 1
    case = case_of(opened, first.level, first.node, params, seed)
    exam = open_exam(opened.subject, case.target, case.seed)
    floor = partial(never_taught, home, wanted.relearning_topics, params.language_model.tiny, seed)
    for cell in group:
        if cell.file(folder).exists():  # kept by a worker that was killed later
            continue
        if cell.kind in ("forgetting", "random_dictionary"):
            result = forgetting_cell(exam, case, cell.name)
        elif cell.kind == "cut":
            result = cut_cell(exam, case)
        elif cell.kind == "curve":
            result = curve_cell(case, cell.name)
        elif cell.kind == "reach":
            result = reach_cell(case, *cell.arm())
        elif cell.kind == "relearning":
            result = relearning_cell(opened, case, cell.name, floor)
        else:
            result = few_shot_cell(exam, case, *cell.arm())
        write_json(cell.file(folder), result)
    return len(group)


def gathered(cells: Iterable[Cell], folder: Path) -> dict[str, list[dict]]:
    """Kind -> one row per finished cell."""
    rows: dict[str, list[dict]] = {}
    for cell in cells:
        if cell.file(folder).exists():
            rows.setdefault(cell.kind, []).append(cell._asdict() | read_json(cell.file(folder)))
    return rows


def computing(groups: list[list[Cell]], folder: Path, wanted: StudySettings, params: Params) -> Iterator[int]:
    """Compute the groups, each in one process, so that its cells share what is open; yields as each is done.

    A worker that is killed loses the cell in hand; dask gives its group to another, which skips what is kept.
    """
    if wanted.workers == 1 or len(groups) < 2:
        yield from (compute(group, folder, wanted, params) for group in groups)
        return
    from distributed import as_completed

    from pipeline.core.processes import local_workers

    with local_workers(wanted.workers) as client:
        asked = [client.submit(compute, group, folder, wanted, params, pure=False) for group in groups]
        for future in as_completed(asked):
            yield future.result()
