"""Words, each with the words that the training text tells of in the same documents.

Training text names topics, the pool does not: an entity's name stands beside its topic's there. This lexical rival sees
the same co-occurrences that the tree was built from.
"""

import numpy as np

from pipeline.scope.documents import Documents
from pipeline.scope.query import Query, contrasted, least_cosine
from pipeline.scope.settings import ScopeSettings


def expanded(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """TF-IDF times positive pointwise mutual information, [x, v].

    ``PPMI(v, w) = max(0, log(n n_vw / (n_v n_w)))`` over the n training documents that hold the words.
    """
    present_tv = (documents.word_counts.training_tv > 0).astype(np.float64)
    both_vv = (present_tv.T @ present_tv).toarray()
    count_v = both_vv.diagonal()
    with np.errstate(divide="ignore"):  # words that never meet: log 0
        ppmi_vv = np.log(present_tv.shape[0] * both_vv / np.outer(count_v, count_v))
    return (documents.word_counts.tfidf_xv @ np.maximum(ppmi_vv, 0)).astype(np.float32)


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    form_xv, weight = documents.form(expanded, settings), settings.contrast.tfidf_expanded
    return contrasted(query, lambda nodes: least_cosine(form_xv, query.pool, nodes), weight)
