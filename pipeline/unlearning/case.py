"""One case of forgetting: a target, everything a method may look at, and how its candidates are judged.

A method is a generator of candidate edits; it sees the train split (statistics, examples) and, through the damage that
each candidate did there, the dev split, never the test split. All methods are swept here, in one place.
"""

import random
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.core.errors import PipelineError
from pipeline.corpus.targets import relations
from pipeline.scope.documents import Documents
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.bench import Bench, Outcome
from pipeline.unlearning.damage import Damage, damage
from pipeline.unlearning.edit import Edit, clamped, no_edit
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.methods import METHODS
from pipeline.unlearning.settings import UnlearningSettings

Candidates = Generator[Edit, Damage, None]  # every ``yield`` of a candidate gives the damage that it did on dev


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
    scope: ScopeSettings | None = None  # likewise: how they search it
    choices: dict[tuple, Choice] | None = None  # of methods that others build on; None remembers nothing

    def once(self, method: str) -> Choice:
        """What a method chooses on this case; the methods that build on it share one sweep.

        A case with another tree or other statistics, such as a control's, is another case.
        """
        key = method, id(self.tree), id(self.firing)
        if self.choices is not None and key in self.choices:
            return self.choices[key]
        choice = sweep(self, METHODS[method].candidates(self), method)
        if self.choices is not None:
            self.choices[key] = choice
        return choice

    def choose(self, method: str) -> Choice:
        """The same; where nothing passes a method's thresholds that is its result: the model as it is."""
        try:
            return self.once(method)
        except NothingPasses as reason:
            nothing = self.untouched()._replace(settings={"nothing": str(reason)})
            return sweep(self, (edit for edit in [nothing]), method)

    def judge(self, edit: Edit) -> Damage:
        """Damage on the dev split."""
        return damage(self.dev, self.target, self.before, self.dev.measure(edit))

    def untouched(self) -> Edit:
        """The model as it is, as an edit of this case's target."""
        return no_edit(self.level, self.target, self.layer)

    def clamp(
        self, groups: list[list[int]], scale_s: torch.Tensor, multiplier: float, settings: dict[str, Any]
    ) -> Edit:
        """Every latent of the groups clamped to ``-multiplier`` times its scale."""
        return clamped("", self.level, self.target, self.layer, groups, scale_s, multiplier, settings)


def sweep(case: Case, candidates: Candidates, method: str = "") -> Choice:
    """Judge every candidate on dev and keep the one with the lowest objective; the first wins a tie."""
    best: tuple[float, Edit] | None = None
    rows = []
    edit = next(candidates, None)
    while edit is not None:
        result = case.judge(edit)
        rows.append(edit.settings | {"latents": len(edit.latents)} | result._asdict() | {"objective": result.objective})
        if best is None or result.objective < best[0]:
            best = result.objective, edit
        try:
            edit = candidates.send(result)
        except StopIteration:
            edit = None
    if best is None:
        raise NothingPasses(f"no latent passes the thresholds for {' / '.join(case.target)}")
    return Choice(best[1]._replace(method=method), rows)


def draw(items: Sequence[dict], target: tuple[str, ...], most: int, seed: int) -> list[dict]:
    """At most ``most`` items of each relation to the target, in their order."""
    rng = random.Random(seed)
    of_item = relations(items, target)
    kept: set[int] = set()
    for name in ("forget", "sibling", "other", "general"):
        numbers = [i for i, of in enumerate(of_item) if of == name]
        kept.update(numbers if len(numbers) <= most else rng.sample(numbers, most))
    return [items[i] for i in sorted(kept)]
