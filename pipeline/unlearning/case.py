"""One case of forgetting: a target, everything a method may look at, and how its candidates are judged.

A method is a generator of candidate edits; it sees the train split (statistics, examples) and, through the damage that
each candidate did there, the dev split, never the test split. All methods are swept here, in one place.

Where a judgement is dear, candidates are halved successively (``unlearning.first_look``): all of them are judged on a
few dev probes and texts, the better half on twice as many, and so on; what is left is judged on all of dev.
"""

import random
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.processes import Arithmetic
from pipeline.core.progress import named, track
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
    dropped: tuple[dict, ...] = ()  # likewise, of those that were judged on the first ``dev_probes`` only


class Look(NamedTuple):
    """Some of the dev probes and texts."""

    dev_probes: int  # of each relation, at most
    bench: Bench
    before: Outcome  # the unedited model


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
    looks: tuple[Look, ...] = ()  # ever more of dev, on which candidates are halved before all of it is asked
    arithmetic: Arithmetic = "float32"  # in which weights are trained; what they do is judged in their own

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

    def judge(self, edit: Edit, look: Look | None = None) -> Damage:
        """Damage on the dev split, or on some of it."""
        bench, before = (self.dev, self.before) if look is None else (look.bench, look.before)
        return damage(bench, self.target, before, bench.measure(edit))

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
    rows, dropped = [], []
    with named(f"{method or 'a method'} on {' / '.join(case.target)}"):
        for edit, result in _judged(case, candidates, method, dropped):
            rows.append(_row(edit, result))
            if best is None or result.objective < best[0]:
                best = result.objective, edit
    if best is None:
        raise NothingPasses(f"no latent passes the thresholds for {' / '.join(case.target)}")
    return Choice(best[1]._replace(method=method), rows, tuple(dropped))


def _row(edit: Edit, result: Damage) -> dict:
    return edit.settings | {"latents": len(edit.latents)} | result._asdict() | {"objective": result.objective}


def _judged(case: Case, candidates: Candidates, method: str, dropped: list[dict]) -> Iterator[tuple[Edit, Damage]]:
    """Candidates with their damage on all of dev, with progress; those that an earlier look drops go to ``dropped``."""
    glanced = []
    for edit, result, look in track(_in_turn(case, candidates, method), "sweep", None, "candidates"):
        if look is None:
            yield edit, result
        else:
            glanced.append((edit, result))
    if glanced:
        yield from _halved(case, glanced, dropped)


def _in_turn(case: Case, candidates: Candidates, method: str) -> Iterator[tuple[Edit, Damage, Look | None]]:
    """Every candidate as it comes, with its damage, of which the method is told, and the look at which it was judged.

    That is all of dev (None) where the method goes on from what it is told, and where a candidate changes weights:
    those are large and few.
    """
    listens = method in METHODS and METHODS[method].listens
    edit = next(candidates, None)
    while edit is not None:
        look = case.looks[0] if case.looks and not edit.weights and not listens else None
        result = case.judge(edit, look)
        yield edit, result, look
        try:
            edit = candidates.send(result)
        except StopIteration:
            edit = None


def _halved(case: Case, judged: list[tuple[Edit, Damage]], dropped: list[dict]) -> Iterator[tuple[Edit, Damage]]:
    """Look after look the better half of those that the first look was taken at; the last one is at all of dev."""
    for look, following in zip(case.looks, (*case.looks[1:], None), strict=True):
        judged.sort(key=lambda found: found[1].objective)
        n = -(-len(judged) // 2)
        dropped += [_row(edit, result) | {"dev_probes": look.dev_probes} for edit, result in judged[n:]]
        better = track(judged[:n], "the better half", n, "candidates")
        judged = [(edit, case.judge(edit, following)) for edit, _ in better]
    yield from judged


def draw(items: Sequence[dict], target: tuple[str, ...], most: int, seed: int) -> list[dict]:
    """At most ``most`` items of each relation to the target, in their order."""
    rng = random.Random(seed)
    of_item = relations(items, target)
    kept: set[int] = set()
    for name in ("forget", "sibling", "other", "general", "copying"):
        numbers = [i for i, of in enumerate(of_item) if of == name]
        kept.update(numbers if len(numbers) <= most else rng.sample(numbers, most))
    return [items[i] for i in sorted(kept)]
