"""Does the tree show the true tree? Adjusted mutual information of cuts with the classes that features belong to."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from pipeline.activations.codes import SparseCodes
from pipeline.hierarchy.tree import FeatureTree

# A feature belongs to a class of a level when this share of its activation falls there.
SHARES = {"domain": 0.7, "topic": 0.5, "entity": 0.3}
N_GROUPS = range(4, 401)


class Belonging(NamedTuple):
    """Features that belong to one class each."""

    latents: np.ndarray
    classes: np.ndarray


def belonging(codes: SparseCodes, documents: list[dict], depth: int, share: float) -> Belonging:
    """Latents of which more than ``share`` of the summed activation falls on one class at ``depth`` of the tree.

    Documents that tell facts from anywhere (``mixed_facts``) have no place and do not count; general text counts
    against every class.
    """
    names = sorted({tuple(row["path"][:depth]) for row in documents if len(row["path"]) >= depth})
    number = {name: i for i, name in enumerate(names)}
    elsewhere, ignored = len(names), len(names) + 1
    class_of = np.array(
        [
            number.get(
                tuple(row["path"][:depth]), ignored if row["path"] or row["kind"] == "mixed_facts" else elsewhere
            )
            for row in documents
        ]
    )
    row_class = class_of[np.repeat(codes.doc_id, np.diff(codes.indptr))]
    flat = row_class * codes.n_latents + codes.index.astype(np.int64)
    size = (len(names) + 2) * codes.n_latents
    mass_cs = np.bincount(flat, weights=codes.value, minlength=size).reshape(-1, codes.n_latents)[:-1]
    share_cs = mass_cs / np.maximum(mass_cs.sum(0), 1e-12)
    best_s = share_cs[:elsewhere].argmax(0)
    chosen = np.flatnonzero(share_cs[best_s, np.arange(codes.n_latents)] > share)
    return Belonging(chosen, best_s[chosen])


def best_ami(tree: FeatureTree, truth: Belonging) -> float:
    """AMI of the best cut into 4 to 400 groups, over the features that belong somewhere; 0 with fewer than two classes.

    The cut is chosen with the truth, so this is what the tree contains, not what a user would read off it.
    """
    leaf_of = np.full(max(int(tree.latents.max()), int(truth.latents.max(initial=0))) + 1, -1)
    leaf_of[tree.latents] = np.arange(tree.n_leaves)
    leaves, classes = leaf_of[truth.latents], truth.classes
    leaves, classes = leaves[leaves >= 0], classes[leaves >= 0]
    if len(np.unique(classes)) < 2:
        return 0.0
    heights = np.sort(tree.linkage[:, 2])
    best = 0.0
    for n_groups in N_GROUPS:
        if n_groups > tree.n_leaves:
            break
        labels = tree.labels(1 - heights[tree.n_leaves - n_groups - 1])[leaves]
        best = max(best, float(adjusted_mutual_info_score(classes, labels)))
    return best
