"""What was measured of single nodes of the tree, as columns beside those of ``tree_data``."""

from collections.abc import Mapping, Sequence
from typing import Any


def node_measures(
    shown: Sequence[int], merges: Sequence[Mapping[str, Any]], cutting: Mapping[str, Any]
) -> dict[str, Any]:
    """``stability`` of every shown node (null where it has none), ``cutting`` by place in ``shown``.

    ``merges`` are those of tree.json, ``cutting`` what the stage ``evaluate`` wrote; empty where it did not.
    """
    stability = {row["id"]: row.get("stability") for row in merges}
    measured = {row["node"]: row for row in cutting.get("nodes", [])}
    return {
        "stability": [stability.get(node) for node in shown],
        "cutting": {k: _short(measured[node]) for k, node in enumerate(shown) if node in measured},
    }


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of cutting.json as the page reads it: losses by relation, and the places that lose most in words."""
    worst = [[" / ".join(place["place"]), place["drop"], place["probes"]] for place in row["worst"]]
    return {"all": row["all"], "targets": row["of_target"], "worst": worst}
