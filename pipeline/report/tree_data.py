"""The explorable tree's data: which nodes the page carries, and a column for everything that is known of them.

All nodes of a small tree; of a large one the coarse cuts and what matters for the targets. Texts stand by number, once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.codes.words import Context, Passages
from pipeline.report.reading import Activity, Reading
from pipeline.tree.feature_tree import FeatureTree


def shown_nodes(
    tree: FeatureTree, correlations: Sequence[float], importance_s: np.ndarray, chosen: Sequence[int], most: int
) -> np.ndarray:
    """Node numbers (scipy's), ascending, at most ``most`` of them.

    First come the root and the chosen latents, then the groups of the cuts from coarse to fine in up to half of the
    room, then everything by its weight: a latent's is its importance, a merge's that of the lesser of its two parts, so
    that a spine which takes up one latent after the other does not fill the page.
    """
    n = tree.n_leaves
    if 2 * n - 1 <= most:
        return np.arange(2 * n - 1)
    leaf_of = {int(latent): leaf for leaf, latent in enumerate(tree.latents)}
    first = [2 * n - 2, *(leaf_of[latent] for latent in chosen if latent in leaf_of)]
    groups = [node for correlation in correlations for node in _tops(tree, correlation)]
    importance = tree.sums(importance_s[tree.latents])
    lesser = importance[tree.children].min(1)
    by_weight = np.argsort(-np.concatenate([importance[:n], lesser]), kind="stable")
    wanted = dict.fromkeys(map(int, [*first, *groups[: most // 2], *by_weight]))
    return np.sort(np.fromiter(wanted, np.int64)[:most])


def shown_parents(tree: FeatureTree, nodes: np.ndarray) -> np.ndarray:
    """Place in ``nodes`` (ascending, the root last) of each one's nearest ancestor there; -1 for the root."""
    place = np.full(2 * tree.n_leaves - 1, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    parent = tree.parents
    nearest = np.full(len(place), -1, np.int64)
    for node in range(len(place) - 2, -1, -1):  # a parent's number is higher than its children's
        above = parent[node]
        nearest[node] = place[above] if place[above] >= 0 else nearest[above]
    return nearest[nodes]


def coherences(tree: FeatureTree) -> np.ndarray:
    """Mean correlation of all pairs of latents in every node; 1 for a leaf.

    Exact for average linkage, whose heights are the mean distances between the two parts:
    c = sum over merges below of n_left n_right (1 - height) / (n (n - 1) / 2).
    """
    size, height = tree.sizes, tree.heights
    pairs = np.zeros(len(size))
    for merge, (left, right) in enumerate(tree.children, start=tree.n_leaves):
        pairs[merge] = pairs[left] + pairs[right] + size[left] * size[right] * (1 - height[merge])
    return np.where(size > 1, pairs / np.maximum(size * (size - 1) / 2, 1), 1.0)


def _tops(tree: FeatureTree, correlation: float) -> np.ndarray:
    """The groups of a cut that hold at least two latents, as node numbers, the largest first."""
    top = np.sort(tree.groups_of_cut(correlation))
    top = top[top >= tree.n_leaves]
    return top[np.argsort(-tree.sizes[top], kind="stable")]


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


def tree_data(
    tree: FeatureTree,
    correlations: Sequence[float],
    reading: Reading,
    marked: Mapping[str, Sequence[int]],
    n_nodes: int,
    n_words: int,
) -> dict[str, Any]:
    """What page.js reads; ``marked`` are the latents that are clamped for each level.

    Columns have one value per shown node, ascending in scipy's numbering, so children come first.
    """
    importance_s = _importance(reading.activity)
    nodes = shown_nodes(tree, correlations, importance_s, [i for latents in marked.values() for i in latents], n_nodes)
    members = _members(tree, nodes)
    _, start, _ = tree._spans
    vocabulary: dict[str, int] = {}  # every text once, by number

    def number(text: str) -> int:
        return vocabulary.setdefault(text, len(vocabulary))

    return {
        "cuts": list(correlations),
        "latents": tree.n_leaves,
        "id": nodes.tolist(),
        "parent": shown_parents(tree, nodes).tolist(),
        "latent": [int(tree.latents[node]) if node < tree.n_leaves else -1 for node in nodes],
        "size": [len(group) for group in members],
        "first": start[nodes].tolist(),
        "r": np.round(1 - tree.heights[nodes], 3).tolist(),
        "coherence": np.round(coherences(tree)[nodes], 3).tolist(),
        "words": [[number(word) for word in words] for words in reading.words(members, n_words)],
        "targets": _shares(tree, nodes, reading.activity),
        "overall": _overall(reading.activity),
        "place": _places(tree, nodes, reading.activity),
        "places": reading.activity.places,
        "marked": {level: _marks(tree, nodes, latents) for level, latents in marked.items()},
        "contexts": _contexts(reading, members, number),
        "text": list(vocabulary),
    }


def words_of_all(tree: FeatureTree, reading: Reading, data: Mapping[str, Any], n_words: int) -> dict[str, Any]:
    """``words.json`` for `pipeline inspect`: the words of every latent, and of every shown merge by its number."""
    shown = zip(data["id"], data["words"], strict=True)
    return {
        "latents": {str(latent): words for latent, words in enumerate(reading.words(None, n_words)) if words},
        "nodes": {str(k): [data["text"][word] for word in words] for k, words in shown if k >= tree.n_leaves},
    }


def _importance(activity: Activity) -> np.ndarray:
    """Of every latent: its largest share in all activation on a target's text; float64 [s]."""
    shares = [sums[0] / max(float(sums[0].sum()), 1e-12) for sums in activity.of_target.values()]
    return np.max(shares, axis=0)


def _members(tree: FeatureTree, nodes: np.ndarray) -> list[np.ndarray]:
    merges = tree.nodes()
    return [tree.latents[[node]] if node < tree.n_leaves else merges[node - tree.n_leaves].members for node in nodes]


def _shares(tree: FeatureTree, nodes: np.ndarray, activity: Activity) -> dict[str, list[list[int]]]:
    """Per level and node: percent of its activation on the target's, the siblings', other and general text."""
    found = {}
    for level, sums in activity.of_target.items():
        total = tree.sums(sums.T[tree.latents])[nodes]
        percent = 100 * total / np.maximum(total.sum(1, keepdims=True), 1e-12)
        found[level] = percent.round().astype(int).tolist()
    return found


def _overall(activity: Activity) -> dict[str, list[float]]:
    """Per level: percent of all latents' activation on the target's, the siblings', other and general text."""
    sums = {level: by_relation.sum(1) for level, by_relation in activity.of_target.items()}
    return {level: (100 * total / max(float(total.sum()), 1e-12)).round(3).tolist() for level, total in sums.items()}


def _places(tree: FeatureTree, nodes: np.ndarray, activity: Activity) -> list[list[list[int]]]:
    """Per node and depth of the corpus' tree: the place with most of its placed activation, and how many percent."""
    if not len(activity.places):
        return [[] for _ in nodes]
    total = tree.sums(activity.of_place.T[tree.latents])[nodes]
    placed = np.maximum(total[:, activity.depth == 1].sum(1), 1e-12)
    columns = []
    for depth in range(1, int(activity.depth.max()) + 1):
        at = np.flatnonzero(activity.depth == depth)
        best = at[total[:, at].argmax(1)]
        share = 100 * total[np.arange(len(nodes)), best] / placed
        columns.append(np.stack([best, share.round()], axis=1).astype(int))
    return np.stack(columns, axis=1).tolist()


def _marks(tree: FeatureTree, nodes: np.ndarray, latents: Sequence[int]) -> list[int]:
    """How many of the latents lie in every node."""
    return tree.sums(np.isin(tree.latents, latents).astype(np.int64))[nodes].astype(int).tolist()


def _contexts(reading: Reading, members: Sequence[np.ndarray], number: Callable[[str], int]) -> list[list[list[Any]]]:
    """Per node its passages: the tokens' texts by number, and their strengths as one digit each."""
    passages = Passages(reading.codes)
    piece = {int(token): number(reading.tokens.piece(int(token))) for token in np.unique(reading.codes.token_id)}

    def written(context: Context) -> list[Any]:
        tokens = reading.codes.token_id[context.start : context.start + len(context.strength)]
        return [[piece[int(token)] for token in tokens], "".join(map(str, context.strength))]

    return [[written(context) for context in passages.of(group, 3)] for group in members]
