"""What every figure is called and what it means, in one line: no page shows a variable's name alone.

The words stand in meanings.txt, a row a pattern of names.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Meaning(NamedTuple):
    """``label`` stands in a table, ``says`` beside it or under the pointer."""

    label: str
    says: str


# What a part of a name stands for, where the pattern has a group for it.
_PARTS = {
    "bootstrap": "trees of resampled documents",
    "halves": "trees of two halves of the documents",
    "snapshots": "the last two trees seen in training",
    "ari": "adjusted Rand index",
    "ami": "adjusted mutual information",
    "llm": "the model's own dimensions",
    "sae": "the dictionary's latents",
    "kl_div": "divergence",
    "ce_loss": "loss",
}


def meaning(name: str) -> Meaning:
    """The words for a figure's name; a name that has none is shown with blanks for its underscores.

    >>> meaning("sae_top_5_test_accuracy").label
    "accuracy with the best 5 of the dictionary's latents"
    """
    for pattern, label, says in _table():
        if found := pattern.fullmatch(name):
            parts = [_PARTS.get(part, part or "") for part in found.groups()]
            known = " (facts that the model knew)" if name.endswith("_known") else ""
            return Meaning(label.format(*parts) + known, says.format(*parts))
    return Meaning(name.replace("_", " "), "")


def label(name: str) -> str:
    """What a figure is called."""
    return meaning(name).label


@cache
def _table() -> list[tuple[re.Pattern[str], str, str]]:
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [(re.compile(pattern), label, says) for pattern, label, says in rows]
