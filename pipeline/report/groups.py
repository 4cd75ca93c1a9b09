"""The groups that an edit acts on, named by their words."""

from pathlib import Path

import numpy as np

from pipeline.activations.codes import CodesStore
from pipeline.language_model.token_text import TokenText
from pipeline.report.evidence import Evidence
from pipeline.report.labels import count_words, of_groups, sample, top_words, words_of
from pipeline.report.page import ChosenGroup
from pipeline.settings.report import ReportSettings

METHOD = "subtree"  # its edit is a set of nodes of the tree


def chosen_groups(evidence: Evidence, features: Path, model: Path, settings: ReportSettings) -> list[ChosenGroup]:
    """The groups of ``subtree`` on every level, the largest first, each with its words."""
    groups = [
        (level, sorted(group))
        for level in evidence.levels()
        if (METHOD, level) in evidence.cells
        for group in sorted(evidence.cells[METHOD, level].edit["groups"], key=len, reverse=True)[
            : settings.shown_groups
        ]
    ]
    if not groups:
        return []
    codes = sample(CodesStore.open(features))
    words = words_of(codes, TokenText.open(model))
    counts_sw = count_words(codes, words)
    counts_gw = of_groups(counts_sw, [np.array(latents) for _, latents in groups])
    labels = top_words(counts_gw, counts_sw.sum(0), words.text, settings.words_per_group)
    return [ChosenGroup(level, latents, label) for (level, latents), label in zip(groups, labels, strict=True)]
