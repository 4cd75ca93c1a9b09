"""Are the edges of the tree of cuts true: is a group about an ancestor of what its parts are about?"""

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pipeline.activations.codes import SparseCodes
from pipeline.evaluation.truth import SHARES, mass_by_class

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
