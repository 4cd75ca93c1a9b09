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

A document is like some examples by what all of them share, or by the least of its cosines with them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pipeline.scope.documents import Documents, standardised
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree

Example = np.ndarray  # numbers of the documents that stand for one example: one document, or all of one entity
Likeness = Callable[[Sequence[list[Example]]], np.ndarray]  # the examples of each of g nodes -> [pool, g]

RESIDUAL_WEIGHT = 0.3  # of the residual's score beside the tree's in residual_tree; chosen on the world of seed 100
# Weight of the other node that a document is most like; chosen on the world of seed 100. Words do not gain by it.
CONTRAST = {"tree": 0.75, "residual": 0.5, "flat": 0.5, "tfidf": 0.0, "tfidf_expanded": 0.0, "shuffled_tree": 0.75}


class Query(NamedTuple):
    """Rank ``pool`` by what all ``given`` examples share and no ``contrast`` (the examples of one other node) does."""

    pool: np.ndarray
    given: list[Example]
    contrast: list[list[Example]]


def contrasted(query: Query, likeness: Likeness, weight: float) -> np.ndarray:
    """Likeness to what is given, minus ``weight`` times that to the other node it is most like, [pool]."""
    if not query.contrast or not weight:
        return likeness([query.given])[:, 0]
    like_xg = likeness([query.given, *query.contrast])
    return like_xg[:, 0] - weight * like_xg[:, 1:].max(1)


def shared_activity(z_xf: np.ndarray, pool: np.ndarray, nodes: Sequence[list[Example]], power: float) -> np.ndarray:
    """``sum_f z_xf w_f / |w|`` with ``w_f = max(0, min over a node's examples of their mean z_f)^power``, [pool, g].

    A column counts as far as every single example is high on it. Dividing by the length of w puts examples that
    share much and examples that share little on one scale.
    """
    least_gf = np.stack([np.min([z_xf[example].mean(0) for example in examples], axis=0) for examples in nodes])
    weight_gf = np.maximum(0, least_gf) ** power
    weight_gf /= np.maximum(np.linalg.norm(weight_gf, axis=1, keepdims=True), 1e-12)
    return z_xf[pool] @ weight_gf.T


def least_cosine(form_xf: np.ndarray, pool: np.ndarray, nodes: Sequence[list[Example]]) -> np.ndarray:
    """The lowest of the cosines to the mean vectors of a node's examples, [pool, g]."""
    unit_xf = _unit(form_xf[pool])
    means = [_unit(np.stack([form_xf[example].mean(0) for example in examples])) for examples in nodes]
    return np.stack([(unit_xf @ mean_ef.T).min(1) for mean_ef in means], axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


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
    return contrasted(query, lambda of: shared_activity(z_xm, query.pool, of, settings.power), CONTRAST["tree"])


def residual(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    resid_xd = documents.form(centred, settings)
    return contrasted(query, lambda of: least_cosine(resid_xd, query.pool, of), CONTRAST["residual"])


def residual_tree(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    of_residual, of_tree = (_standard(part(documents, query, settings)) for part in (residual, tree))
    return RESIDUAL_WEIGHT * of_residual + of_tree


def _standard(score_x: np.ndarray) -> np.ndarray:
    return (score_x - score_x.mean()) / max(float(score_x.std()), 1e-12)


def flat(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xs = documents.form(latents, settings)
    return contrasted(query, lambda of: shared_activity(z_xs, query.pool, of, settings.power), CONTRAST["flat"])


def tfidf(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    tfidf_xv = documents.form(words, settings)
    return contrasted(query, lambda of: least_cosine(tfidf_xv, query.pool, of), CONTRAST["tfidf"])


def tfidf_expanded(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    form_xv = documents.form(expanded_words, settings)
    return contrasted(query, lambda of: least_cosine(form_xv, query.pool, of), CONTRAST["tfidf_expanded"])


def shuffled_tree(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xm, weight = documents.form(shuffled_merges, settings), CONTRAST["shuffled_tree"]
    return contrasted(query, lambda of: shared_activity(z_xm, query.pool, of, settings.power), weight)


def oracle(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    """1 inside the deepest node that holds all given documents, else 0."""
    given = [documents.paths[x] for example in query.given for x in example]
    shared = [steps[0] for steps in zip(*given, strict=False) if len(set(steps)) == 1]
    return np.array([float(documents.paths[x][: len(shared)] == tuple(shared)) for x in query.pool])


Retriever = Callable[[Documents, Query, ScopeSettings], np.ndarray]
RETRIEVERS: dict[str, Retriever] = {  # by the names of ``names.py``
    retriever.__name__: retriever
    for retriever in (tree, residual, residual_tree, flat, tfidf, tfidf_expanded, shuffled_tree, oracle)
}
