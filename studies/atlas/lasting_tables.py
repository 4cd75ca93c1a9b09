"""Tables of how far forgetting reaches and how long it lasts."""

from typing import Any

from studies.markdown import table

KINDS = {"reversed": "reversed", "two-hop": "two-hop", "fr": "French", "de": "German", "es": "Spanish"}
OF = {"forget": "target", "sibling": "siblings"}


def generalisation(found: dict[str, Any]) -> str:
    """Share still right of what the unedited model answers rightly, by kind of question."""
    unedited = next(row for row in found["rows"] if row["method"] == "none")["shares"]
    asked = [(of, kind) for of in OF for kind in KINDS if f"{of}/{kind}" in unedited]
    heads = [f"{OF[of]}: {KINDS[kind]} ({unedited[f'{of}/{kind}']['known']})" for of, kind in asked]
    lines = [
        [f"`{row['method']}`", *(f"{row['shares'][f'{of}/{kind}']['right']:.2f}" for of, kind in asked)]
        for row in found["rows"]
    ]
    return table(["method", *heads], lines)


def robustness(found: dict[str, Any]) -> str:
    """Multiple choice on the target's known test facts, as edited and after each attack."""
    names = list(found["rows"][0]["shares"])
    lines = [[f"`{row['method']}`", *(f"{row['shares'][name]:.2f}" for name in names)] for row in found["rows"]]
    return table(["method", *("as edited" if name == "start" else name for name in names)], lines)
