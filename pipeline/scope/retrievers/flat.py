"""Single latents that all examples share."""

import numpy as np

from pipeline.scope.documents import Documents, standardised
from pipeline.scope.query import Query, contrasted, shared_activity
from pipeline.scope.settings import ScopeSettings


def latents(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Standardised document codes, [x, s]."""
    return standardised(documents, documents.reading.codes_xs.toarray(), settings.clip)


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xs = documents.form(latents, settings)
    weight = settings.contrast.flat
    return contrasted(query, lambda nodes: shared_activity(z_xs, query.pool, nodes, settings.power), weight)
