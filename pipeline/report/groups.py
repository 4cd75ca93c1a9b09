"""The groups that an edit acts on, named by their words."""

from typing import NamedTuple

import numpy as np

from pipeline.codes.words import of_groups, top_words
from pipeline.report.evidence import Evidence
from pipeline.report.reading import Reading
from pipeline.report.settings import ReportSettings

METHOD = "subtree"  # its edit is a set of nodes of the tree


class ChosenGroup(NamedTuple):
    """A group of latents that the edit of one target acts on, with the words it stands for."""

    level: str
    latents: list[int]
    words: list[str]


def chosen_groups(evidence: Evidence, reading: Reading, settings: ReportSettings) -> list[ChosenGroup]:
    """The groups of ``subtree`` on every level, the largest first, each with its words."""
    groups = []
    for level in evidence.levels():
        cell = evidence.cells.get((METHOD, level))
        largest = sorted(cell.edit["groups"], key=len, reverse=True) if cell else []
        groups += [(level, sorted(group)) for group in largest[: settings.shown_groups]]
    counts_gw = of_groups(reading.counts_sw, [np.array(latents) for _, latents in groups])
    labels = top_words(counts_gw, reading.counts_sw.sum(0), reading.words.text, settings.words_per_group)
    return [ChosenGroup(level, latents, label) for (level, latents), label in zip(groups, labels, strict=True)]


def clamped_latents(evidence: Evidence) -> dict[str, list[int]]:
    """The latents that ``subtree`` clamps, by level."""
    return {
        level: [latent for group in evidence.cells[METHOD, level].edit["groups"] for latent in group]
        for level in evidence.levels()
        if (METHOD, level) in evidence.cells
    }
