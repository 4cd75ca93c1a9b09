"""The thirty figures that matter, flat, for `dvc metrics show` and `diff`; and the rows behind `dvc plots show`."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.evidence import CLAMPED, Evidence
from pipeline.report.finding import main_level
from pipeline.report.methods import kind_of
from pipeline.report.verdict import chosen_methods

_WHOLE = {
    "language_model": ("heldout_mcq", "heldout_cloze", "perplexity"),
    "sae": ("explained_variance", "l0", "dead_share", "ce_loss_recovered", "spliced_cloze"),
    "hierarchy": ("cophenetic_correlation", "topic_ami_document"),
}
_OF_CUTS = ("groups", "stability_ari", "coherence_lift")
_DRAWN = ("forget_mcq", "sibling_drop", "other_drop", "general_drop")
_OF_EDITS = _DRAWN[:3]
_BRIEFLY = "weights", "tree"  # the roles that the targets have with which the page does not begin
_CURVES = ("step", "explained_variance", "l0", "dead_share", "loss")


def metrics(evidence: Evidence) -> dict[str, float]:
    """Names such as ``sae.l0`` and ``topic.guard.other_drop``; what was not measured is absent."""
    names = {key: [*of] for key, of in _WHOLE.items()}
    finest = max((cut["level"] for cut in evidence.groups["cuts"]), default=0)
    names["hierarchy"] += [f"{name}_level_{finest}" for name in _OF_CUTS]
    found = {f"{key}.{name}": evidence.means(key).get(name) for key, of in names.items() for name in of}
    for level in evidence.levels():
        for role, method in _roles(evidence, level).items():
            means = evidence.means(f"unlearning/{method}/{level}")
            if level == main_level(evidence) or role in _BRIEFLY:
                found |= {f"{level}.{role}.{name}": means.get(name) for name in _OF_EDITS}
    return {name: round(value, 4) for name, value in found.items() if value is not None}


def _roles(evidence: Evidence, level: str) -> dict[str, str]:
    """``guard``, ``weights``, ``clamp`` and ``tree`` with the method that is the best of its kind."""
    best = chosen_methods(evidence, level)
    named = {kind_of(method): method for method, role in best.items() if role.startswith("the best")}
    return named | ({"tree": CLAMPED} if CLAMPED in best else {})


def training_rows(evidence: Evidence) -> str:
    """training.csv: a row a logged step of the dictionary's training."""
    return as_csv([{name: row.get(name) for name in _CURVES} for row in evidence.training["curves"]])


def trade_off_rows(evidence: Evidence) -> str:
    """tradeoff.csv: a row a method on the main target, by its test figures."""
    level = main_level(evidence)
    rows = []
    for method in evidence.methods(level):
        means = evidence.means(f"unlearning/{method}/{level}")
        rows.append({"method": method, "kind": kind_of(method)} | {name: means.get(name) for name in _DRAWN})
    return as_csv(rows)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys; what is None is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
