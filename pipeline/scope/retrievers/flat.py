"""Single latents that all examples share."""

import numpy as np

from pipeline.scope.documents import Documents, standardised
from pipeline.scope.query import Query, contrasted, shared_activity
from pipeline.settings.scope import ScopeSettings


def latents(documents: Documents) -> np.ndarray:
    """Standardised document codes, [x, s]."""
    return standardised(documents, documents.reading.codes_xs.toarray())


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xs = documents.form(latents)
    return contrasted(query, lambda e: shared_activity(z_xs, query.pool, e, settings.clip), settings.contrast.flat)
