"""What cutting one node of the tree does by itself: its latents clamped, the cloze lost at every place."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.core.progress import track
from pipeline.corpus.targets import relation
from pipeline.tree.feature_tree import FeatureTree, Node
from pipeline.unlearning.bench import Outcome
from pipeline.unlearning.damage import lost
from pipeline.unlearning.edit import clamped, no_edit
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.subject import Subject

PROBES = 320  # test probes asked under every cut, spread over the places; about a fifth of the world's
WORST, FEWEST = 3, 4  # places named for each node, and the probes that such a place has at least
RELATIONS = ("forget", "sibling", "other", "general")


def cuts_of_nodes(
    subject: Subject, tree: FeatureTree, cuts: Sequence[Sequence[np.ndarray]], firing: Firing, most: int, seed: int
) -> dict[str, Any]:
    """``{"multiplier", "probes", "nodes": [...]}``: one row for each of the ``most`` nodes that matter most.

    A node's latents are set to minus their mean code (over the texts of ``firing``) wherever they fire. A row has the
    points of cloze lost by relation to every level's target (``of_target``) and at the places that lose most.
    """
    nodes = nodes_that_matter(tree, cuts, firing, subject.targets, most)
    bench = subject.bench(spread(subject.split("test")[0], PROBES, seed), [])
    before = bench.measure(no_edit("", (), subject.layer))
    scale_s = torch.from_numpy(firing.sums_xs.sum(0) / np.maximum(1, firing.fires_xs.sum(0))).float()
    rows = []
    for node in track(nodes, "cut nodes", len(nodes), "nodes"):
        edit = clamped("cut", "", (), subject.layer, [node.members.tolist()], scale_s, 1, {})
        lost_q = losses(before, bench.measure(edit))
        rows.append({"node": node.id, **what_was_lost(lost_q, bench.probes, subject.targets)})
    return {"multiplier": 1, "probes": len(bench.probes), "nodes": rows}


def nodes_that_matter(
    tree: FeatureTree,
    cuts: Sequence[Sequence[np.ndarray]],
    firing: Firing,
    targets: Mapping[str, Sequence[str]],
    most: int,
) -> list[Node]:
    """Merges, ascending: a half by how much more they fire on a target's text than on what must stay, a half the
    largest groups of the cuts, the coarse cuts first.

    Every level has an equal share of the first half; a node's gap is the sum of its latents' gaps between their rate
    on the target's text and the highest of their rates on sibling, other and general text.
    """
    merges = tree.nodes()
    kept: dict[int, Node] = {}
    for target in targets.values():
        gap_s = firing.rates(target, "forget") - firing.retain_rates(target)
        gaps = np.array([gap_s[node.members].sum() for node in merges])
        for k in np.argsort(-gaps, kind="stable")[: most // (2 * len(targets))]:
            kept[merges[k].id] = merges[k]
    by_members = {frozenset(node.members.tolist()): node for node in merges}
    for cut in cuts:
        for group in sorted((g for g in cut if len(g) > 1), key=len, reverse=True):
            if len(kept) >= most:
                break
            node = by_members[frozenset(group.tolist())]
            kept[node.id] = node
    return [kept[number] for number in sorted(kept)]


def spread(probes: Sequence[dict], most: int, seed: int) -> list[dict]:
    """About ``most`` probes, as many (two at least) from every place of the corpus' tree, general ones as one place."""
    by_place: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, probe in enumerate(probes):
        by_place[tuple(probe["path"])].append(number)
    rng = random.Random(seed)
    inside = max(2, most // max(1, len(by_place)))
    kept: list[int] = []
    for path, numbers in by_place.items():
        kept += rng.sample(numbers, min(len(numbers), inside if path else most // 10))
    return [probes[number] for number in sorted(kept)]


def losses(before: Outcome, after: Outcome) -> np.ndarray:
    """Points lost on every probe, before minus after: of cloze, or of choice (``damage.lost``)."""
    return 100 * lost(before, after, torch.ones_like(before.cloze_q, dtype=torch.bool)).double().cpu().numpy()


def what_was_lost(lost_q: np.ndarray, probes: Sequence[dict], targets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Mean loss by relation to every target, and the places (of every depth) with the largest, with their probes."""
    of_target = {}
    for level, target in targets.items():
        of_probe = np.array([relation(probe["path"], target) for probe in probes])
        known = [name for name in RELATIONS if name in of_probe]
        of_target[level] = {name: _rounded(lost_q[of_probe == name]) for name in known}
    of_place: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for points, probe in zip(lost_q, probes, strict=True):
        for depth in range(1, len(probe["path"]) + 1):
            of_place[tuple(probe["path"][:depth])].append(float(points))
    enough = [item for item in of_place.items() if len(item[1]) >= FEWEST]
    ranked = sorted(enough, key=lambda item: (-np.mean(item[1]), len(item[0])))
    worst = [
        {"place": list(place), "drop": _rounded(np.array(lost)), "probes": len(lost)}
        for place, lost in ranked[:WORST]
        if np.mean(lost) > 0
    ]
    return {"all": _rounded(lost_q), "of_target": of_target, "worst": worst}


def _rounded(lost: np.ndarray) -> float:
    return round(float(lost.mean()), 1)
