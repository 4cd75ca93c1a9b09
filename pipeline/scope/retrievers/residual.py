"""Cosine of mean residuals: no dictionary and no tree."""

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Query, contrasted, least_cosine
from pipeline.scope.settings import ScopeSettings


def centred(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Mean residuals without the pool's mean, [x, d]."""
    resid_xd = documents.reading.resid_xd
    return resid_xd - resid_xd[: documents.n_pool].mean(0)


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    resid_xd = documents.form(centred, settings)
    return contrasted(query, lambda nodes: least_cosine(resid_xd, query.pool, nodes), settings.contrast.residual)
