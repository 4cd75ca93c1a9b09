"""Groups of latents as tables: those that an edit acts on, those that a target's text wakes."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.groups import ChosenGroup
from pipeline.report.markup import Markup, joined, table, tag


def chosen_table(chosen: Sequence[ChosenGroup]) -> Markup:
    """The groups of ``subtree`` with their words."""
    if not chosen:
        return tag("p", "No edit of this run names groups.")
    rows = [
        [row.level, str(len(row.latents)), " ".join(row.words) or "-", ", ".join(map(str, row.latents))]
        for row in chosen
    ]
    return tag("div", table(["level", "latents", "words", "which"], rows), class_="words")


def active_groups(tree: Mapping[str, Any], most: int = 6) -> Markup:
    """Per target the groups of two or more latents with the largest share of their activation on its text."""
    parts = [tag("h3", "Groups of the tree that are most active on the target")]
    for level, shares in tree["targets"].items():
        groups = [k for k, size in enumerate(tree["size"]) if size > 1]
        best = sorted(groups, key=lambda k: (-shares[k][0], -tree["size"][k]))[:most]
        rows = [
            [
                f"{level}: group {tree['id'][k]}",
                str(tree["size"][k]),
                f"{tree['r'][k]:.2f}",
                *(f"{share} %" for share in shares[k]),
                " ".join(tree["text"][word] for word in tree["words"][k]),
            ]
            for k in best
        ]
        head = ["", "latents", "merged at r", "on the target", "on siblings", "on other", "on general text", "words"]
        parts.append(tag("div", table(head, rows), class_="last-words"))
    return joined(parts)
