"""Complete a forget set from unlabelled text: what to forget, and what to keep beside it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.retrievers import RETRIEVERS, Example, Query
from pipeline.scope.settings import ScopeSettings

Node = tuple[str, ...]


class Completion(NamedTuple):
    """Numbers of pool documents, the surest first."""

    forget: list[int]
    sibling: list[int]
    other: list[int]


def complete(
    documents: Documents,
    retriever: str,
    target: Node,
    labelled: Mapping[Node, Sequence[Node]],
    k: int,
    settings: ScopeSettings,
) -> Completion:
    """The ``k`` best documents for the target, its siblings and every other node of its level.

    ``labelled`` gives the entities (or documents' nodes) that are known of each node, the target among them. A
    node's siblings share its parent. A document that is among the best of two nodes is disputed, and dropped.
    """
    examples = {node: [documents.labelled(path) for path in paths] for node, paths in labelled.items()}
    best = {node: retrieve(documents, retriever, node, examples, k, settings) for node in examples}
    claims = np.bincount([x for found in best.values() for x in found], minlength=documents.n_pool)
    undisputed = {node: [x for x in found if claims[x] == 1] for node, found in best.items()}
    siblings = [node for node in examples if node != target and node[:-1] == target[:-1]]
    others = [node for node in examples if node[:-1] != target[:-1]]
    return Completion(
        undisputed[target],
        [x for node in siblings for x in undisputed[node]],
        [x for node in others for x in undisputed[node]],
    )


def retrieve(
    documents: Documents,
    retriever: str,
    node: Node,
    examples: Mapping[Node, list[Example]],
    k: int,
    settings: ScopeSettings,
) -> list[int]:
    """The ``k`` pool documents that are most like a node's examples and least like any other node's, the best first.

    Documents that name a labelled node are known already and left out.
    """
    contrast = [of for other, of in examples.items() if other != node]
    known = {documents.paths[example[0]][-1] for of in examples.values() for example in of}
    query = Query(documents.pool(without=sorted(known)), examples[node], contrast)
    score_x = RETRIEVERS[retriever](documents, query, settings)
    return query.pool[np.argsort(-score_x, kind="stable")[:k]].tolist()
