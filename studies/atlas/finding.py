"""Two passages of a country against all others: who finds the rest of the country, and of its region?

Means, components and trees come from half A of the passages; the two that are given and those that are ranked come from
half B. A form of the passages is standardised, freed of k principal components, and standardised again; k is chosen for
each retriever and question on half of the countries (dev), figures are of the others. A passage's score is
``sum_f z_xf w_f`` with ``w_f = max(0, min over the two of z_f)^1.5``; for words and residual stream, which do better by
it, the lower of two cosines.

    tfidf          words
    residual       mean of the residual stream
    latents        single latents
    nodes          nodes of the tree freed of components (``trees.freed_tree``)
    latents_nodes  both, side by side
    neighbours     every latent with the five that it correlates with most, which may overlap, in place of nodes
    shuffled       latents beside nodes of the same tree with its leaves permuted
    all            the scores of residual and latents_nodes, each standardised over the ranked passages, added
    all_shuffled   likewise with shuffled
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from pipeline.tree.feature_tree import FeatureTree
from studies.atlas.passages import Passages, Place, freed, standardised, tfidf
from studies.atlas.ranking import average_precisions, ranks
from studies.atlas.trees import COMPONENTS, freed_tree

REMOVED = (0, 3, 10, 30, 100)
DRAWS = 4
POWER = 1.5
NEAREST = 5
MOST = 40  # latents of a node, and two at least
Score = Callable[[np.ndarray], np.ndarray]  # numbers of the two passages -> a score for every passage


def finding_rows(passages: Passages, seed: int) -> Iterator[dict[str, Any]]:
    """A row for every retriever and number of components: average precision by country, mean over draws."""
    queries = list(_queries(passages, seed))
    for name, removed, score in retrievers(passages, seed):
        found: dict[str, dict[str, list[float]]] = {"country": {}, "region": {}, "unnamed": {}}
        for place, given in queries:
            for question, precision in _asked(passages, place, given, score(given)):
                found[question].setdefault(place[-1], []).append(precision)
        means = {q: {of: round(float(np.mean(v)), 5) for of, v in values.items()} for q, values in found.items()}
        yield {"retriever": name, "removed": removed, "values": means}


def retrievers(passages: Passages, seed: int) -> Iterator[tuple[str, int, Score]]:
    """Name, components removed, and score of all that are compared."""
    yield "tfidf", 0, partial(_cosine, sparse.csr_array(tfidf(passages)))
    z_xs = standardised(passages.codes_xs.toarray(), passages.in_a)
    z_xd = standardised(passages.resid_xd, passages.in_a)
    tree = freed_tree(passages, COMPONENTS)
    shuffled = tree.shuffled(np.random.default_rng(seed))
    for removed in REMOVED:
        residual = partial(_cosine, _unit(freed(z_xd, passages.in_a, removed)))
        yield "residual", removed, residual
        left_xs = freed(z_xs, passages.in_a, removed)
        groups = {
            "nodes": _nodes(left_xs, tree, passages),
            "neighbours": _neighbours(left_xs, passages),
            "shuffled": _nodes(left_xs, shuffled, passages),
        }
        yield "latents", removed, partial(_shared, left_xs)
        yield "nodes", removed, partial(_shared, groups["nodes"])
        beside = {name: partial(_shared, np.hstack([left_xs, form])) for name, form in groups.items()}
        yield "latents_nodes", removed, beside["nodes"]
        for name in ("neighbours", "shuffled"):
            yield name, removed, beside[name]
        yield "all", removed, partial(_added, residual, beside["nodes"])
        yield "all_shuffled", removed, partial(_added, residual, beside["shuffled"])


def _queries(passages: Passages, seed: int) -> Iterator[tuple[Place, np.ndarray]]:
    for place in dict.fromkeys(tuple(row["path"]) for row in passages.rows if row["path"]):
        inside = np.flatnonzero(passages.of(place) & ~passages.in_a).tolist()
        for draw in range(DRAWS):
            yield place, np.array(random.Random(f"{seed}|{place}|{draw}").sample(inside, 2))


def _asked(passages: Passages, place: Place, given: np.ndarray, score_x: np.ndarray) -> Iterator[tuple[str, float]]:
    """What is asked of a ranking of half B: the rest of the country, that which does not name it, its region's rest."""
    pool_x = ~passages.in_a
    pool_x[given] = False
    country_x, region_x = passages.of(place), passages.of(place[:1])
    unnamed_x = np.array([place[-1] not in row["text"] for row in passages.rows])
    questions = {
        "country": (pool_x, country_x),
        "unnamed": (pool_x & (unnamed_x | ~country_x), country_x),
        "region": (pool_x & ~country_x, region_x),
    }
    for question, (asked_x, inside_x) in questions.items():
        if inside_x[asked_x].any():
            rank_xf = ranks(score_x[asked_x][:, None])
            yield question, float(average_precisions(rank_xf, inside_x[asked_x])[0])


def _shared(z_xf: np.ndarray, given: np.ndarray) -> np.ndarray:
    return z_xf @ np.maximum(0, z_xf[given].min(0)) ** POWER


def _added(one: Score, two: Score, given: np.ndarray) -> np.ndarray:
    scores = [score(given) for score in (one, two)]
    return sum((score_x - score_x.mean()) / max(score_x.std(), 1e-12) for score_x in scores)


def _unit(form_xf: np.ndarray) -> np.ndarray:
    return form_xf / np.maximum(np.linalg.norm(form_xf, axis=1, keepdims=True), 1e-12)


def _cosine(unit_xf: np.ndarray | sparse.csr_array, given: np.ndarray) -> np.ndarray:
    two_fg = unit_xf[given].T
    return (unit_xf @ (two_fg.toarray() if sparse.issparse(two_fg) else two_fg)).min(1)


def _nodes(z_xs: np.ndarray, tree: FeatureTree, passages: Passages) -> np.ndarray:
    sizes = tree.sizes[tree.n_leaves :]
    members = tree.membership(z_xs.shape[1])[:, np.flatnonzero((sizes >= 2) & (sizes <= MOST))]
    return standardised(z_xs @ members, passages.in_a)


def _neighbours(z_xs: np.ndarray, passages: Passages) -> np.ndarray:
    z_as = z_xs[passages.in_a]
    r_ss = z_as.T @ z_as / len(z_as)
    nearest = np.argsort(-r_ss, axis=1)[:, : NEAREST + 1]  # itself among them
    column = np.repeat(np.arange(len(nearest)), NEAREST + 1)
    members = sparse.csr_array((np.ones(len(column), np.float32), (nearest.ravel(), column)), r_ss.shape)
    return standardised(z_xs @ members, passages.in_a)
