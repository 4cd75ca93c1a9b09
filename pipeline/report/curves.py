"""The numbers behind a run's curves, small enough to travel with it: training, snapshots of the tree, dev sweeps."""

from typing import Any

from pipeline.report.evidence import Evidence

_SWEPT = ("forget_choice", "forget_cloze", "sibling_drop", "other_drop", "objective")


def curves(evidence: Evidence) -> dict[str, Any]:
    """Content of ``report/curves.json``; sweeps are named ``<method>/<level>``."""
    return {
        "training": evidence.training["curves"],
        "snapshots": evidence.training["snapshots"],
        "sweeps": {
            f"{method}/{level}": [{name: row[name] for name in _SWEPT} for row in cell.candidates]
            for (method, level), cell in evidence.cells.items()
        },
    }
