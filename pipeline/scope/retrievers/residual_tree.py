"""Residual cosine and tree nodes together: a weighted sum of their standardised scores."""

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Query
from pipeline.scope.retrievers import residual, tree
from pipeline.scope.settings import ScopeSettings


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    of_residual, of_tree = (_standard(part.score(documents, query, settings)) for part in (residual, tree))
    return settings.residual_weight * of_residual + of_tree


def _standard(score_x: np.ndarray) -> np.ndarray:
    return (score_x - score_x.mean()) / max(float(score_x.std()), 1e-12)
