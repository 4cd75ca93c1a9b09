"""The tree of latents against the true tree of a world that was made up: classes, and edges.

An edge of the tree of cuts is true where a group is about an ancestor of what its parts are about.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from pipeline.codes.store import SparseCodes
from pipeline.evaluation.partitions import purity
from pipeline.evaluation.statistics import Figures, half_sample_error
from pipeline.evaluation.truth import SHARES, belonging, best_cut, cut_truth, mass_by_class
from pipeline.tree.feature_tree import FeatureTree

Place = tuple[str, ...]  # a class, as its path from the domain down


class EdgeScores(NamedTuple):
    """Precision over the edges found, recall over the true ones, and their harmonic mean; 0 where nothing is found."""

    precision: float
    recall: float
    f1: float


def places_of(codes: SparseCodes, documents: list[dict]) -> dict[int, Place]:
    """The deepest class that each latent belongs to, by latent; latents that belong nowhere are left out."""
    places: dict[int, Place] = {}
    for depth, share in enumerate(SHARES.values(), start=1):
        mass = mass_by_class(codes, documents, depth)
        places |= {latent: mass.names[owner] for latent, owner in enumerate(mass.owner(share).tolist()) if owner >= 0}
    return places


def edge_scores(cuts: list[list[np.ndarray]], places: dict[int, Place]) -> EdgeScores:
    """``cuts`` are lists of groups of latents, the coarsest first, each refining the one before.

    A group is about the deepest class that more than half of its placed latents belong to. An edge joins a group to
    each of its parts at the next cut (a single latent is a part too), if both are about something and not about the
    same class; it is right if the group's class is an ancestor of the part's. True edges are those above every class
    below the domains that some latent belongs to; one is recovered if a right edge ends at its lower class. Shuffled
    leaves score well above 0 (a group with one placed latent is about its class), so compare with them.
    """
    found = [edge for upper, lower in pairwise(cuts) for edge in _edges(upper, lower, places)]
    recovered = [part for whole, part in found if part[: len(whole)] == whole]
    true = {place for place in places.values() if len(place) > 1}
    precision = len(recovered) / len(found) if found else 0.0
    recall = len(true & set(recovered)) / len(true) if true else 0.0
    total = precision + recall
    return EdgeScores(precision, recall, 2 * precision * recall / total if total else 0.0)


def _edges(upper: list[np.ndarray], lower: list[np.ndarray], places: dict[int, Place]) -> list[tuple[Place, Place]]:
    """What the group is about and what its part is about."""
    above = {latent: place for group in upper if (place := _about(group, places)) for latent in group.tolist()}
    parts = ((above.get(int(part[0])), _about(part, places)) for part in lower)
    return [(whole, part) for whole, part in parts if whole and part and whole != part]


def _about(group: np.ndarray, places: dict[int, Place]) -> Place | None:
    placed = [places[latent] for latent in group.tolist() if latent in places]
    votes = Counter(place[:depth] for place in placed for depth in range(1, len(place) + 1))
    carried = [place for place, count in votes.items() if count > len(placed) / 2]
    return max(carried, key=len, default=None)


def truth_figures(
    figures: Figures,
    trees: dict[str, FeatureTree],
    scale: str,
    correlations: list[float],
    codes: SparseCodes,
    documents: list[dict],
) -> None:
    """For every level of the truth: AMI of the best cut of both scales' trees with the features behind it, then
    purity and AMI of the default tree's own cuts; at last the edges of the cuts. Shuffled leaves beside."""
    shuffled = {name: tree.shuffled(np.random.default_rng(figures.seed)) for name, tree in trees.items()}
    for depth, (level, share) in enumerate(SHARES.items(), start=1):
        truth = belonging(codes, documents, depth, share)
        for name, tree in trees.items():
            figures.number(f"{level}_features_{name}", len(truth.inside(tree).latents))
            best = best_cut(tree, truth)
            if best is not None:
                _score(figures, f"{level}_ami_{name}", adjusted_mutual_info_score, best.groups, best.classes)
        for number, correlation in enumerate(correlations, start=1):
            for suffix, tree in (("", trees[scale]), ("_null", shuffled[scale])):
                cut = cut_truth(tree, truth, correlation)
                if cut is not None:
                    _score(figures, f"{level}_purity{suffix}_level_{number}", purity, *cut)
                    _score(figures, f"{level}_ami{suffix}_level_{number}", adjusted_mutual_info_score, *cut)
    places = places_of(codes, documents)
    for name, tree in trees.items():
        _edge_figures(figures, name, tree, shuffled[name], correlations, places)


def _score(
    figures: Figures,
    name: str,
    measure: Callable[[np.ndarray, np.ndarray], float],
    groups: np.ndarray,
    classes: np.ndarray,
) -> None:
    def of(items: np.ndarray) -> np.ndarray:
        return np.array(measure(groups[items], classes[items]))

    figures.number(name, measure(groups, classes), float(half_sample_error(of, len(groups), figures.seed)))


def _edge_figures(
    figures: Figures,
    scale: str,
    tree: FeatureTree,
    shuffled: FeatureTree,
    correlations: list[float],
    places: dict[int, Place],
) -> None:
    cuts, null = ([of.cut(c) for c in correlations] for of in (tree, shuffled))
    latents = sorted(places)

    def of(items: np.ndarray) -> np.ndarray:
        return np.array(edge_scores(cuts, {latents[i]: places[latents[i]] for i in items.tolist()}))

    found = edge_scores(cuts, places)
    errors = half_sample_error(of, len(latents), figures.seed) if len(latents) > 1 else [None] * len(found)
    for (name, value), error in zip(found._asdict().items(), errors, strict=True):
        figures.number(f"parent_{name}_{scale}", value, error)
    figures.number(f"parent_f1_null_{scale}", edge_scores(null, places).f1)
