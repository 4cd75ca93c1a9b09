"""Residual cosine and tree nodes together: the sum of their standardised scores."""

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Query
from pipeline.scope.retrievers import residual, tree
from pipeline.settings.scope import ScopeSettings


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    return sum(
        (of_x - of_x.mean()) / max(float(of_x.std()), 1e-12)
        for of_x in (part.score(documents, query, settings) for part in (residual, tree))
    )
