"""Ways to find the rest of what a few examples are about, and their controls; all have one signature.

tree             nodes of the document tree that all examples share: two entities of one topic need not share a
                 latent, but the latents of both lie under one node where the training text told of them together
residual         cosine of mean residuals: no dictionary and no tree
residual_tree    both: a weighted sum of their standardised scores
flat             single latents that all examples share
tfidf            words that all examples share, rare ones first
tfidf_expanded   words, each with the words that the training text tells of in the same documents: training text
                 names topics, the pool does not, so this lexical rival sees what the tree was built from
shuffled_tree    control: the same tree with its leaves permuted; what it finds, any grouping finds
oracle           control: the pool's true paths, which no user has
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from pipeline.scope.documents import Documents, standardised
from pipeline.scope.query import Query, contrasted, least_cosine, shared_activity
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree

# --- forms of the documents, computed once for a table (``documents.form``)


def latents(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Standardised document codes, [x, s]."""
    return standardised(documents, documents.reading.codes_xs.toarray(), settings.clip)


def centred(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Mean residuals without the pool's mean, [x, d]."""
    resid_xd = documents.reading.resid_xd
    return resid_xd - resid_xd[: documents.n_pool].mean(0)


def merges(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Standardised activity of every merge of the document tree, [x, m]."""
    return _merges(documents, documents.trees["document"], settings)


def shuffled_merges(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """The same of the tree with its leaves permuted once."""
    shuffled = documents.trees["document"].shuffled(np.random.default_rng(documents.seed))
    return _merges(documents, shuffled, settings)


def _merges(documents: Documents, tree: FeatureTree, settings: ScopeSettings) -> np.ndarray:
    return standardised(documents, node_activity(documents.reading.codes_xs, tree), settings.clip)


def node_activity(codes_xs: sparse.csr_array, tree: FeatureTree) -> np.ndarray:
    """``log(1 + sum of the codes of all the merge's latents)`` of every merge, [x, m], from log(1 + sum) per latent."""
    return np.log1p((codes_xs.expm1() @ tree.membership(codes_xs.shape[1])).toarray())


def words(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """TF-IDF with the training text's document frequencies, [x, v]."""
    return documents.word_counts.tfidf_xv.toarray().astype(np.float32)


def expanded_words(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """TF-IDF times positive pointwise mutual information, [x, v].

    ``PPMI(v, w) = max(0, log(n n_vw / (n_v n_w)))`` over the n training documents that hold the words.
    """
    present_tv = (documents.word_counts.training_tv > 0).astype(np.float64)
    both_vv = (present_tv.T @ present_tv).toarray()
    count_v = both_vv.diagonal()
    with np.errstate(divide="ignore"):  # words that never meet: log 0
        ppmi_vv = np.log(present_tv.shape[0] * both_vv / np.outer(count_v, count_v))
    return (documents.word_counts.tfidf_xv @ np.maximum(ppmi_vv, 0)).astype(np.float32)


# --- retrievers: a score for every document of the query's pool, more is more alike


def tree(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xm = documents.form(merges, settings)
    return contrasted(query, lambda of: shared_activity(z_xm, query.pool, of, settings.power), settings.contrast.tree)


def residual(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    resid_xd = documents.form(centred, settings)
    return contrasted(query, lambda of: least_cosine(resid_xd, query.pool, of), settings.contrast.residual)


def residual_tree(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    of_residual, of_tree = (_standard(part(documents, query, settings)) for part in (residual, tree))
    return settings.residual_weight * of_residual + of_tree


def _standard(score_x: np.ndarray) -> np.ndarray:
    return (score_x - score_x.mean()) / max(float(score_x.std()), 1e-12)


def flat(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xs = documents.form(latents, settings)
    return contrasted(query, lambda of: shared_activity(z_xs, query.pool, of, settings.power), settings.contrast.flat)


def tfidf(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    tfidf_xv = documents.form(words, settings)
    return contrasted(query, lambda of: least_cosine(tfidf_xv, query.pool, of), settings.contrast.tfidf)


def tfidf_expanded(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    form_xv = documents.form(expanded_words, settings)
    return contrasted(query, lambda of: least_cosine(form_xv, query.pool, of), settings.contrast.tfidf_expanded)


def shuffled_tree(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xm, weight = documents.form(shuffled_merges, settings), settings.contrast.shuffled_tree
    return contrasted(query, lambda of: shared_activity(z_xm, query.pool, of, settings.power), weight)


def oracle(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    """1 inside the deepest node that holds all given documents, else 0."""
    given = [documents.paths[x] for example in query.given for x in example]
    shared = [steps[0] for steps in zip(*given, strict=False) if len(set(steps)) == 1]
    return np.array([float(documents.paths[x][: len(shared)] == tuple(shared)) for x in query.pool])


Retriever = Callable[[Documents, Query, ScopeSettings], np.ndarray]
RETRIEVERS: dict[str, Retriever] = {
    retriever.__name__: retriever
    for retriever in (tree, residual, residual_tree, flat, tfidf, tfidf_expanded, shuffled_tree, oracle)
}
