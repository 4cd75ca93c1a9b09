"""Cells of reach: a clamp that saw a few entities of a topic, asked about the others.

A latent that never fired on the examples cannot be chosen by itself; in a group it comes along with those that did. So
here whole groups can do what single latents cannot. Nothing is chosen: every candidate of a method's sweep is a point
of its curve, as in ``curves.py``, but statistics are of the labelled entities alone, and asked are the unlabelled ones,
of the target and of what must stay.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Case
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.weights.few_shot import labelled_entities
from studies.world.curves import areas

CUTS_SHUFFLED = "level_cut_shuffled"  # the control of ``level_cut``; ``shuffled_tree`` is that of ``subtree``
CLAMPS = ("level_cut", CUTS_SHUFFLED, "subtree", "shuffled_tree", "flat_worth", "flat_frequency")


def reach_cell(case: Case, method: str, given: int) -> dict:
    """``{"means"}``: the areas of ``curve_cell`` for a clamp that was given so many entities of every node."""
    few = known_by_few(case, given)
    if method == CUTS_SHUFFLED:
        few, method = few._replace(cuts=shuffled_cuts(case.cuts, case.seed)), "level_cut"
    return {"means": areas(few.choose(method).sweep)}


def known_by_few(case: Case, given: int) -> Case:
    """Firing statistics of labelled entities and general text alone; a dev bench of everything else."""
    labelled = {path for paths in labelled_entities(case, given).values() for path in paths}

    def known(item: dict) -> bool:
        return tuple(item["path"]) in labelled or not item["path"]

    dev = case.dev
    unlabelled = [probe for probe in dev.probes if tuple(probe["path"]) not in labelled]
    asked = Bench(dev.model, dev.tokenizer, dev.dictionary, dev.layer, unlabelled, [])
    firing = case.firing.only(np.flatnonzero([known(text) for text in case.firing.texts]))
    before = asked.measure(no_edit(case.level, case.target, case.layer))
    return case._replace(firing=firing, dev=asked, before=before, choices=None)


def shuffled_cuts(cuts: Sequence[Sequence[np.ndarray]], seed: int) -> list[list[np.ndarray]]:
    """Groups of the same sizes at every cut, nested as before, with the latents permuted."""
    latents = np.unique(np.concatenate([group for groups in cuts for group in groups]))
    moved = np.random.default_rng(seed).permutation(latents)
    return [[moved[np.searchsorted(latents, group)] for group in groups] for groups in cuts]
