"""What one edit forgets of each of 16 countries in six regions: chosen on dev facts, measured on test facts.

A cell is a country and a method. It is kept as it comes, and a call that follows makes what is missing: after another
run take results/countries.json away. Every method has the settings of the run. ``npo_alone`` is ``npo`` without the
sentences that say the country's name: what holding them is worth. Of siblings and others a draw of the test facts is
asked.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.activations.arithmetic import arithmetic_for
from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import read_json
from pipeline.core.processes import Arithmetic, MachineSettings
from pipeline.core.settings import read_section
from pipeline.corpus.targets import COPYING, relation, relations
from pipeline.evaluation.forgetting import forgetting_figures, open_exam
from pipeline.language_model.known import facts_known, of_knowledge
from pipeline.scope.stored import open_stored
from pipeline.unlearning.case import Case
from pipeline.unlearning.edit import Edit, no_edit
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.settings import UnlearningSettings
from pipeline.unlearning.subject import Forest, Subject, count_training_texts, open_case, open_forest, open_subject

Target = tuple[str, ...]
Row = dict[str, Any]
COUNTRIES = 3, 3, 3, 3, 2, 2  # of each region, those of which the model knows most
FACTS = 60  # of siblings, and of others, that the test asks
LEVEL = "country"
EVERYWHERE = ("none", "npo")
SOMEWHERE = ("npo_alone", "level_cut", "subtree", "flat_frequency")  # on the first country of each region


class Atlas(NamedTuple):
    """A finished run, opened once."""

    subject: Subject
    forest: Forest
    firing: Firing
    settings: UnlearningSettings
    targets: list[Target]
    arithmetic: Arithmetic  # in which weights are trained


def country_rows(data: Path, seed: int, done: Sequence[Row]) -> Iterator[Row]:
    """The cells that are not done yet, with ``means`` and ``stderrs`` as `evaluate` has them."""
    atlas = open_atlas_run(data, seed)
    have = {(row["target"], row["method"]) for row in done}
    first = first_of_regions(atlas.targets)
    for methods, targets in ((EVERYWHERE, first), (EVERYWHERE, atlas.targets), (SOMEWHERE, first)):
        for target in targets:
            name = "/".join(target)
            missing = [method for method in methods if (name, method) not in have]
            have |= {(name, method) for method in missing}
            if missing:
                yield from _cells(atlas, target, missing, seed)


def _cells(atlas: Atlas, target: Target, methods: Sequence[str], seed: int) -> Iterator[Row]:
    subject = atlas.subject._replace(targets={LEVEL: target})
    case = open_case(subject, atlas.forest, atlas.firing, LEVEL, atlas.settings, seed)
    case = case._replace(arithmetic=atlas.arithmetic)
    exam = open_exam(subject._replace(probes=asked(subject.probes, target, seed)), target, seed)
    for method in methods:
        edit = no_edit(LEVEL, target, subject.layer) if method == "none" else _edit(subject, case, method)
        figures = forgetting_figures(exam, edit, 0.0, seed)
        yield {
            "target": "/".join(target),
            "method": method,
            "settings": dict(edit.settings),
            "means": figures["means"],
            "stderrs": figures["stderrs"],
        }


def _edit(subject: Subject, case: Case, method: str) -> Edit:
    if method == "npo_alone":
        return without_names(subject, case).choose("npo").edit
    return case.choose(method).edit


def without_names(subject: Subject, case: Case) -> Case:
    """The case without the sentences that only say the target's name, in training and on dev."""
    train, dev = (
        subject.bench([p for p in bench.probes if relations([p], case.target) != [COPYING]], bench.texts)
        for bench in (case.train, case.dev)
    )
    return case._replace(train=train, dev=dev, before=dev.measure(case.untouched()), choices={}, looks=())


def open_atlas_run(data: Path, seed: int) -> Atlas:
    """What the stages left in ``data``."""
    activations = at_layer(read_section(data / "params.yaml", ActivationsSettings, "activations"), data / "model")
    settings = read_section(data / "params.yaml", UnlearningSettings, "unlearning")
    chosen = read_json(data / "unlearning/targets.json")
    subject = open_subject(data / "model", data / "sae", data / "corpus", activations, chosen, "cpu")
    stored = open_stored(data / "corpus", data / "features.zarr", data / "activations.zarr")
    targets = known_best(of_knowledge(subject.probes), read_json(data / "model/knowledge.json")["right"])
    forest, firing = open_forest(data / "dendrogram"), count_training_texts(subject, stored)
    wanted = read_section(data / "params.yaml", MachineSettings, "machine").cache_arithmetic
    return Atlas(subject, forest, firing, settings, targets, arithmetic_for(wanted, "cpu"))


def known_best(probes: Sequence[dict], right: dict[str, bool]) -> list[Target]:
    """Of the regions with most known countries those of which most facts are known, copying left out."""
    known: dict[Target, int] = {}
    for fact in facts_known(probes, right):
        if len(fact.path) == 2 and fact.kind != COPYING:
            known[fact.path] = known.get(fact.path, 0) + fact.known
    regions: dict[str, list[Target]] = {}
    for path in sorted(known, key=lambda path: (-known[path], path)):
        regions.setdefault(path[0], []).append(path)
    largest = sorted(regions, key=lambda region: (-len(regions[region]), region))
    return [path for n, region in zip(COUNTRIES, largest, strict=False) for path in regions[region][:n]]


def first_of_regions(targets: Sequence[Target]) -> list[Target]:
    """The first target of each region."""
    return list({path[0]: path for path in reversed(targets)}.values())[::-1]


def asked(probes: Sequence[dict], target: Target, seed: int) -> list[dict]:
    """All probes but those on siblings and others, of which a draw of test facts is kept, with all paraphrases."""
    rng, kept = random.Random(seed), []
    of_probe = [relation(probe["path"], target) for probe in probes]
    for side in ("sibling", "other"):
        facts = sorted({p["fact"] for p, of in zip(probes, of_probe, strict=True) if of == side and _tested(p)})
        kept += rng.sample(facts, min(FACTS, len(facts)))
    chosen = set(kept)
    return [
        probe
        for probe, of in zip(probes, of_probe, strict=True)
        if of in ("forget", "general") or not _tested(probe) or probe["fact"] in chosen
    ]


def _tested(probe: dict) -> bool:
    return probe["split"] in ("test", COPYING)
