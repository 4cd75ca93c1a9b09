"""Nodes of the document tree that all examples share.

Two entities of one topic need not share a latent; the latents of both lie under one node where the training text
told of them together.
"""

import numpy as np
from scipy import sparse

from pipeline.scope.documents import Documents, standardised
from pipeline.scope.query import Query, contrasted, shared_activity
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree


def activity(documents: Documents, settings: ScopeSettings) -> np.ndarray:
    """Standardised activity of every merge of the document tree, [x, m]."""
    return standardised(
        documents, node_activity(documents.reading.codes_xs, documents.trees["document"]), settings.clip
    )


def score(documents: Documents, query: Query, settings: ScopeSettings) -> np.ndarray:
    z_xm = documents.form(activity, settings)
    weight = settings.contrast.tree
    return contrasted(query, lambda nodes: shared_activity(z_xm, query.pool, nodes, settings.power), weight)


def node_activity(codes_xs: sparse.csr_array, tree: FeatureTree) -> np.ndarray:
    """``log(1 + sum of the codes of all the merge's latents)`` of every merge, [x, m], from log(1 + sum) per latent."""
    members = [node.members for node in tree.nodes()]
    sizes = list(map(len, members))
    shape = (codes_xs.shape[1], len(members))
    ones = np.ones(sum(sizes), np.float32)
    member_sm = sparse.csr_array((ones, (np.concatenate(members), np.repeat(np.arange(len(members)), sizes))), shape)
    return np.log1p((codes_xs.expm1() @ member_sm).toarray())
