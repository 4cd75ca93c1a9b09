"""Words that all examples share, rare ones first."""

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Query, contrasted, least_cosine
from pipeline.scope.settings import ScopeSettings


def words(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """TF-IDF with the training text's document frequencies, [x, v]."""
    return documents.word_counts.tfidf_xv.toarray().astype(np.float32)


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    tfidf_xv = documents.form(words, settings)
    return contrasted(query, lambda nodes: least_cosine(tfidf_xv, query.pool, nodes), settings.contrast.tfidf)
