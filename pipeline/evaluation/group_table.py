"""What is known of every single group: its latents, the words that name it, how far it coheres."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.activations.codes import CodesStore
from pipeline.evaluation.coherence import Lift
from pipeline.evaluation.labels import count_words, of_groups, sample, top_words, words_of
from pipeline.language_model.token_text import TokenText

WORDS = 6  # that name a group, the most telling first


def group_table(
    cuts: list[list[np.ndarray]],
    correlations: list[float],
    lifts: list[dict[str, Lift]],
    store: CodesStore,
    model: Path,
) -> list[dict[str, Any]]:
    """Per cut ``{"level", "correlation", "groups": [{"group", "latents", "words", "coherence_lift", ...}]}``.

    ``group`` is the number in ``groups.json``; groups of one latent are left out. A label is the words on whose tokens
    the group is active more than the rest is (highest log-odds); a lift is null where the group has none.
    """
    codes = sample(store)
    words = words_of(codes, TokenText.open(model))
    counts_sw = count_words(codes, words)
    table = []
    for level, (groups, correlation, of_cut) in enumerate(zip(cuts, correlations, lifts, strict=True), start=1):
        numbers = [number for number, group in enumerate(groups) if len(group) > 1]
        counts_gw = of_groups(counts_sw, [groups[number] for number in numbers])
        labels = top_words(counts_gw, counts_sw.sum(0), words.text, WORDS)
        gains = {name: dict(zip(lift.group.tolist(), lift.gain.tolist(), strict=True)) for name, lift in of_cut.items()}
        rows = [
            {"group": number, "latents": groups[number].tolist(), "words": label}
            | {name: gain.get(number) for name, gain in gains.items()}
            for number, label in zip(numbers, labels, strict=True)
        ]
        table.append({"level": level, "correlation": correlation, "groups": rows})
    return table
