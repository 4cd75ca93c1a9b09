"""Control: the pool's true paths, which no user has."""

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Query
from pipeline.scope.settings import ScopeSettings


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    """1 inside the deepest node that holds all given documents, else 0."""
    given = [documents.paths[x] for example in query.given for x in example]
    shared = [steps[0] for steps in zip(*given, strict=False) if len(set(steps)) == 1]
    return np.array([float(documents.paths[x][: len(shared)] == tuple(shared)) for x in query.pool])
