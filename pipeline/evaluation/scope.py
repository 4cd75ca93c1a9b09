"""Does a retriever find exactly what a few examples mean? On a pool whose true paths are known.

Two questions about the same draws. *The rest of a topic*: two entities are given, text that names them leaves the
pool, and the rest is ranked (average precision). *Borders*: two examples of an entity, a topic or a domain rank the
whole pool, and as many documents are taken as the node truly has (precision at R). Two examples of the other nodes are
labelled too, and nothing else is.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from pipeline.core.files import read_json
from pipeline.evaluation.statistics import Figures
from pipeline.scope.documents import Documents, Reading, open_documents
from pipeline.scope.retrievers import RETRIEVERS, Example, Query
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.subject import Forest

Node = tuple[str, ...]
DRAWS = 3


class Cell(NamedTuple):
    """One node in one draw of its two examples; ``unseen`` asks a pool that does not name them."""

    level: str
    node: Node
    draw: int
    border: Query
    unseen: Query


def all_scope_figures(
    forest: Forest, corpus_dir: Path, reading: Callable[[], Reading], settings: ScopeSettings, seed: int
) -> dict[str, dict]:
    """``scope/<retriever>`` -> figures, from what the model read in the pool.

    Nothing where the corpus does not know what its pool is about, or lacks two examples of every node.
    """
    corpus = read_json(corpus_dir / "corpus.json")
    if corpus["source"]["kind"] != "world":
        return {}
    documents = open_documents(corpus_dir, forest.trees, reading(), seed)
    nodes = {level: list(map(tuple, paths)) for level, paths in corpus["nodes"].items()}
    coarse, middle, fine = nodes
    nodes[fine] = [path for path in nodes[fine] if len(documents.labelled(path)) > 1]
    few = [node for node in nodes[coarse] if len(_below(node, nodes[middle])) < 2]
    few += [node for node in nodes[middle] if len(_below(node, nodes[fine])) < 2]
    return {} if few else scope_figures(documents, nodes, settings, seed)


def scope_figures(
    documents: Documents, nodes: Mapping[str, Sequence[Node]], settings: ScopeSettings, seed: int
) -> dict[str, dict]:
    """``scope/<retriever>`` -> the two questions' figures; standard errors are over nodes.

    ``nodes`` are those of three levels, the coarsest first, the middle one being the topics.
    """
    levels = list(nodes)
    cells = [cell for draw in range(DRAWS) for cell in draw_cells(documents, nodes, draw, seed)]
    found = {}
    for name, score in RETRIEVERS.items():
        figures = Figures(seed)
        for level in levels:
            of_level = [cell for cell in cells if cell.level == level]
            ids = [f"{'/'.join(cell.node)}/{cell.draw}" for cell in of_level]
            places = ["/".join(cell.node) for cell in of_level]
            if level == levels[1]:
                ranked = [average_precision(documents, c, score(documents, c.unseen, settings)) for c in of_level]
                figures.mean("average_precision", ids, np.array(ranked), places)
            borders = [border_precision(documents, c, score(documents, c.border, settings)) for c in of_level]
            figures.mean(f"border_precision_{level}", ids, np.array(borders), places)
        found[f"scope/{name}"] = figures.as_dict()
    return found


def draw_cells(documents: Documents, nodes: Mapping[str, Sequence[Node]], draw: int, seed: int) -> list[Cell]:
    """One cell for every domain and topic, and for one entity of each topic.

    A draw labels two entities of every topic. They are a topic's examples; a domain's are two entities of different
    topics, an entity's two of its texts.
    """
    coarse, middle, fine = nodes
    rng = random.Random(f"{seed}|{draw}")
    entities = {topic: rng.sample(_below(topic, nodes[fine]), 2) for topic in nodes[middle]}
    of_level: list[dict[Node, list[Node]]] = [
        {
            node: [rng.choice(entities[topic]) for topic in rng.sample(_below(node, list(entities)), 2)]
            for node in nodes[coarse]
        },
        entities,
        {entity: [entity] for pair in entities.values() for entity in pair},
    ]
    cells = []
    for level, given in zip(nodes, of_level, strict=True):
        examples = {node: _examples(documents, paths, rng) for node, paths in given.items()}
        asked = [pair[0] for pair in entities.values()] if level == fine else list(given)
        for node in asked:
            contrast = [of for other, of in examples.items() if other != node]
            names = [path[-1] for path in given[node]]
            border, unseen = (Query(documents.pool(without), examples[node], contrast) for without in ([], names))
            cells.append(Cell(level, node, draw, border, unseen))
    return cells


def average_precision(documents: Documents, cell: Cell, score_x: np.ndarray) -> float:
    """Of the ranking of the pool that does not name the examples."""
    return float(average_precision_score(_inside(documents, cell.node, cell.unseen.pool), score_x))


def border_precision(documents: Documents, cell: Cell, score_x: np.ndarray) -> float:
    """Precision at R of the whole pool: the share of the node among the best R, R its true number of documents."""
    inside_x = _inside(documents, cell.node, cell.border.pool)
    return float(inside_x[np.argsort(-score_x, kind="stable")[: inside_x.sum()]].mean())


def _inside(documents: Documents, node: Node, pool: np.ndarray) -> np.ndarray:
    return np.array([documents.paths[x][: len(node)] == node for x in pool])


def _below(node: Node, paths: Sequence[Node]) -> list[Node]:
    return [path for path in paths if path[: len(node)] == node]


def _examples(documents: Documents, paths: Sequence[Node], rng: random.Random) -> list[Example]:
    """All texts of each entity; two texts apart where one entity is given alone."""
    texts = [documents.labelled(path) for path in paths]
    if len(texts) > 1:
        return texts
    return [np.array([x]) for x in rng.sample(texts[0].tolist(), 2)]
