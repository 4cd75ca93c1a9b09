"""One case of forgetting: a target, everything a method may look at, and how its candidates are judged.

A method is a function ``choose(case) -> Choice``; it sees the train split (statistics, examples) and the dev split
(through ``case.judge``), never the test split.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.scope.documents import Documents
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.bench import Bench, Outcome
from pipeline.unlearning.damage import Damage, damage, relations
from pipeline.unlearning.edit import Edit, no_edit
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.settings import UnlearningSettings


class NothingPasses(PipelineError):
    """No latent passes the thresholds that a method sweeps."""


class Choice(NamedTuple):
    """The edit that did best on dev, and every candidate's settings and damage."""

    edit: Edit
    sweep: list[dict]


class Case(NamedTuple):
    """What a method is given."""

    level: str
    target: tuple[str, ...]
    layer: int
    tree: FeatureTree
    cuts: list[list[np.ndarray]]  # groups of latents per cut, the coarsest cut first
    firing: Firing  # train texts
    train: Bench  # train probes and texts
    dev: Bench  # dev probes and texts
    before: Outcome  # the unedited model on dev
    settings: UnlearningSettings
    seed: int
    documents: Documents | None = None  # the unlabelled pool with the labelled texts, for methods that search it
    scope: ScopeSettings = ScopeSettings()
    choices: dict[tuple, Choice] | None = None  # of methods that others build on; None remembers nothing

    def once(self, choose: Callable[["Case"], Choice]) -> Choice:
        """What a method chooses on this case; the methods that build on it share one sweep.

        A case with another tree or other statistics, such as a control's, is another case.
        """
        if self.choices is None:
            return choose(self)
        key = choose.__module__, id(self.tree), id(self.firing)
        if key not in self.choices:
            self.choices[key] = choose(self)
        return self.choices[key]

    def judge(self, edit: Edit) -> Damage:
        """Damage on the dev split."""
        return damage(self.dev, self.target, self.before, self.dev.measure(edit))


def sweep(case: Case, candidates: Iterable[Edit]) -> Choice:
    """Judge every candidate on dev and keep the one with the lowest objective; the first wins a tie."""
    best: tuple[float, Edit] | None = None
    rows = []
    for edit in candidates:
        result = case.judge(edit)
        rows.append(edit.settings | {"latents": len(edit.latents)} | result._asdict() | {"objective": result.objective})
        if best is None or result.objective < best[0]:
            best = result.objective, edit
    if best is None:
        raise NothingPasses(f"no latent passes the thresholds for {' / '.join(case.target)}")
    return Choice(best[1], rows)


def choice_of(case: Case, method: str, choose: Callable[[Case], Choice]) -> Choice:
    """What a method chooses; where nothing passes its thresholds that is its result: the model as it is."""
    try:
        return case.once(choose)
    except NothingPasses as reason:
        nothing = no_edit(case.level, case.target, case.layer)
        return sweep(case, [nothing._replace(method=method, settings={"nothing": str(reason)})])


def draw(items: Sequence[dict], target: tuple[str, ...], most: int, seed: int) -> list[dict]:
    """At most ``most`` items of each relation to the target, in their order."""
    rng = random.Random(seed)
    of_item = relations(items, target)
    kept: set[int] = set()
    for name in ("forget", "sibling", "other", "general"):
        numbers = [i for i, of in enumerate(of_item) if of == name]
        kept.update(numbers if len(numbers) <= most else rng.sample(numbers, most))
    return [items[i] for i in sorted(kept)]
