"""Labelled texts as examples of the nodes beside what is meant."""

from collections.abc import Sequence

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Example, least_cosine
from pipeline.scope.retrievers.residual import centred
from pipeline.settings.scope import ScopeSettings

Node = tuple[str, ...]


def other_nodes(
    documents: Documents, given: list[Example], levels: Sequence[str], settings: ScopeSettings
) -> dict[str, dict[Node, list[Example]]]:
    """By level, each labelled node with two of its texts, but not the node that the examples themselves lie in.

    That one is taken to be the node of the labelled text whose residual is most like all examples. The two texts
    come from different children where the node has them.
    """
    labelled = np.array([x for x in range(documents.n_pool, len(documents.rows)) if documents.paths[x]], np.int64)
    resid_xd = documents.form(centred, settings)
    closest = labelled[least_cosine(resid_xd, labelled, [given])[:, 0].argmax()]
    found: dict[str, dict[Node, list[Example]]] = {}
    for depth, level in enumerate(levels, start=1):
        of_node: dict[Node, dict[Node, int]] = {}
        for x in labelled.tolist():
            path = documents.paths[x]
            if len(path) == len(levels) and path[:depth] != documents.paths[closest][:depth]:
                child = path[: depth + 1] if depth < len(levels) else (*path, str(x))
                of_node.setdefault(path[:depth], {}).setdefault(child, x)
        found[level] = {
            node: [documents.one(x) for x in list(children.values())[:2]] for node, children in of_node.items()
        }
    return found
