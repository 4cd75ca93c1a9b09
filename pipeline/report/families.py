"""The entries of final_info.json that come in families: who finds the scope, who needs few shots, what comes back."""

from pipeline.report.evidence import Evidence
from pipeline.report.markup import Markup, joined, table, tag
from pipeline.report.methods import in_order
from pipeline.report.sections import figure_of

# Prefix of the keys -> title, and what to know of the figures.
FAMILIES = {
    "relearning": (
        "Relearning: does it come back?",
        "The edited model is fine-tuned on half of the target's facts (or on its siblings', or on general text) for so "
        "many steps; the figure is cloze on the other half. Low is good.",
    ),
    "few_shot": (
        "Few shots: does naming some entities forget their topic?",
        "Only so many entities of the topic are given; `unseen` are the others of the same topic. Low is good.",
    ),
    "scope": (
        "Scope: which documents belong to the target?",
        "A retriever completes the forget set from a few documents; precision over the pool, 1 is perfect.",
    ),
}


def families(evidence: Evidence) -> Markup:
    """One table for each family; one that was not measured is named, not shown."""
    parts = [_family(evidence, prefix, *said) for prefix, said in FAMILIES.items() if rows_of(evidence, prefix)]
    lacking = [title.split(":")[0].lower() for prefix, (title, _) in FAMILIES.items() if not rows_of(evidence, prefix)]
    if lacking:
        parts.append(tag("p", f"Not measured in this run: {', '.join(lacking)}.", class_="soft"))
    return joined(parts)


def rows_of(evidence: Evidence, prefix: str) -> list[str]:
    """The entries of a family, those of methods in the tables' order."""
    names = [key.split("/", 1)[1] for key in evidence.entries if key.startswith(f"{prefix}/")]
    methods = in_order(list(dict.fromkeys(name.split("/")[0] for name in names)))
    return sorted(names, key=lambda name: (methods.index(name.split("/")[0]), name))


def _family(evidence: Evidence, prefix: str, title: str, note: str) -> Markup:
    rows = rows_of(evidence, prefix)
    figures = list(dict.fromkeys(name for row in rows for name in evidence.means(f"{prefix}/{row}")))
    cells = [[row, *(_figure(evidence, f"{prefix}/{row}", name) for name in figures)] for row in rows]
    head = ["", *(name.replace("_", " ") for name in figures)]
    return joined([tag("h3", title), tag("p", note, class_="soft"), table(head, cells)])


def _figure(evidence: Evidence, key: str, name: str) -> str:
    return figure_of(evidence.means(key), evidence.stderrs(key), name, 1, 1 if name.endswith("_drop") else 3)
