"""What cutting a node does: which nodes are asked, on which probes, and how the losses are summed up."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.evaluation.node_effects import nodes_that_matter, spread, what_was_lost
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.firing import Firing

# Latents 0, 1 merge (node 5), then 2 and 3 (6), those four (7), and 4 at last (8).
TREE = FeatureTree(np.array([[0, 1, 0.1, 2], [2, 3, 0.2, 2], [5, 6, 0.7, 4], [7, 4, 1.0, 5]], float), np.arange(5))
CUTS = [[np.array([0, 1, 2, 3]), np.array([4])], [np.array([0, 1]), np.array([2, 3]), np.array([4])]]
TARGETS = {"topic": ("d", "t")}


def firing(on_target: list[float], elsewhere: list[float]) -> Firing:
    """Two texts of one token each, the target's and a sibling's."""
    fires = csr_array(np.array([on_target, elsewhere], float))
    return Firing([{"path": ["d", "t"]}, {"path": ["d", "u"]}], np.ones(2), fires, fires)


def test_nodes_of_the_target_come_with_the_largest_groups() -> None:
    of_target = firing([0, 0, 1, 1, 0], [0, 0, 0, 0, 1])
    assert [node.id for node in nodes_that_matter(TREE, CUTS, of_target, TARGETS, 2)] == [6, 7]
    # the latents 2 and 3 tell the target, whatever the larger groups above them do
    wide = firing([1, 1, 1, 1, 1], [1, 1, 0, 0, 1])
    assert [node.id for node in nodes_that_matter(TREE, CUTS, wide, TARGETS, 2)] == [6, 7]
    assert [node.id for node in nodes_that_matter(TREE, CUTS, wide, TARGETS, 9)] == [5, 6, 7, 8]
    assert nodes_that_matter(TREE, CUTS, wide, TARGETS, 0) == []


def test_probes_are_spread_over_the_places() -> None:
    probes = [{"path": ["d", "t"], "id": i} for i in range(50)] + [
        {"path": ["d", "u"], "id": 50},
        {"path": [], "id": 51},
    ]
    kept = spread(probes, 12, seed=0)
    assert [probe["id"] for probe in kept][-2:] == [50, 51] and len(kept) == 4 + 1 + 1
    assert kept == spread(probes, 12, seed=0)


def test_losses_by_relation_and_place() -> None:
    probes = [{"path": path} for path in (["d", "t"], ["d", "t"], ["d", "u"], ["e", "v"], [])]
    found = what_was_lost(np.array([100, 50, 10, 0, -5.0]), probes, TARGETS)
    assert found["of_target"]["topic"] == {"forget": 75.0, "sibling": 10.0, "other": 0.0, "general": -5.0}
    assert found["worst"] == []  # no place has probes enough to say so
    assert found["all"] == 31.0


def test_the_places_that_lose_most_are_named() -> None:
    probes = [{"path": ["d", topic]} for topic in "tttt" + "uuuu"]
    found = what_was_lost(np.array([100, 100, 50, 50, 10, 0, 0, 0.0]), probes, TARGETS)
    assert [(row["place"], row["drop"], row["probes"]) for row in found["worst"]] == [
        (["d", "t"], 75.0, 4),
        (["d"], pytest.approx(38.8), 8),
        (["d", "u"], 2.5, 4),
    ]


def test_nothing_lost_names_no_place() -> None:
    assert what_was_lost(np.zeros(1), [{"path": ["d", "t"]}], TARGETS)["worst"] == []
