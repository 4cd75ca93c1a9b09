"""Control: the same tree with its leaves permuted. What it finds, any grouping finds."""

import numpy as np

from pipeline.scope.documents import Documents, standardised
from pipeline.scope.query import Query, contrasted, shared_activity
from pipeline.scope.retrievers.tree import node_activity
from pipeline.scope.settings import ScopeSettings


def activity(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Standardised activity of every merge of the shuffled tree, [x, m]."""
    tree = documents.trees["document"].shuffled(np.random.default_rng(documents.seed))
    return standardised(documents, node_activity(documents.reading.codes_xs, tree), settings.clip)


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xm, weight = documents.form(activity, settings), settings.contrast.shuffled_tree
    return contrasted(query, lambda nodes: shared_activity(z_xm, query.pool, nodes, settings.power), weight)
