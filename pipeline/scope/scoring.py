"""Every retriever by name."""

from pipeline.scope.retrievers import (
    flat,
    oracle,
    residual,
    residual_tree,
    shuffled_tree,
    tfidf,
    tfidf_expanded,
    tree,
)

RETRIEVERS = {
    "tree": tree.score,
    "residual": residual.score,
    "residual_tree": residual_tree.score,
    "flat": flat.score,
    "tfidf": tfidf.score,
    "tfidf_expanded": tfidf_expanded.score,
    "shuffled_tree": shuffled_tree.score,
    "oracle": oracle.score,
}
