"""Does the tree show the true tree? Adjusted mutual information of cuts with the classes that features belong to."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from pipeline.codes.store import SparseCodes
from pipeline.evaluation.partitions import grouped
from pipeline.tree.feature_tree import FeatureTree

# A feature belongs to a class of a level when this share of its activation falls there.
SHARES = {"domain": 0.7, "topic": 0.5, "entity": 0.3}
N_GROUPS = range(4, 401)
FEWEST = 20  # features behind an AMI: with a handful some of the cuts agrees with anything, or none with the truth


class Mass(NamedTuple):
    """Summed activation by class; the last row is text that belongs to no class of the level."""

    names: list[tuple[str, ...]]  # path of every class, from the domain down
    mass_cs: np.ndarray  # float64 [classes + 1, s]

    def owner(self, share: float) -> np.ndarray:
        """Class on which more than ``share`` of each column's activation falls, -1 where none has so much, [s]."""
        share_cs = self.mass_cs / np.maximum(self.mass_cs.sum(0), 1e-12)
        best_s = share_cs[:-1].argmax(0)
        return np.where(share_cs[best_s, np.arange(len(best_s))] > share, best_s, -1)


class Belonging(NamedTuple):
    """Features that belong to one class each."""

    latents: np.ndarray
    classes: np.ndarray

    def inside(self, tree: FeatureTree) -> "Belonging":
        """Those that the tree clusters."""
        kept = np.isin(self.latents, tree.latents)
        return Belonging(self.latents[kept], self.classes[kept])


def mass_by_class(codes: SparseCodes, documents: list[dict], depth: int) -> Mass:
    """Each latent's activation by the class at ``depth`` of the tree that a document is about.

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
    mass = np.bincount(flat, weights=codes.value, minlength=size).reshape(-1, codes.n_latents)
    return Mass(names, mass[:ignored])


def belonging(codes: SparseCodes, documents: list[dict], depth: int, share: float) -> Belonging:
    """Latents of which more than ``share`` of the summed activation falls on one class at ``depth`` of the tree."""
    owner_s = mass_by_class(codes, documents, depth).owner(share)
    chosen = np.flatnonzero(owner_s >= 0)
    return Belonging(chosen, owner_s[chosen])


class BestCut(NamedTuple):
    """The cut that agrees most with the truth: its AMI, and group and class of every feature behind it."""

    ami: float
    groups: np.ndarray
    classes: np.ndarray


def best_cut(tree: FeatureTree, truth: Belonging) -> BestCut | None:
    """The best cut into 4 to 400 groups by AMI, over the features that belong somewhere.

    None with fewer than ``FEWEST`` such features in the tree, or all of one class. The cut is chosen with the truth, so
    this is what the tree contains, not what a user would read off it.
    """
    latents, classes = truth.inside(tree)
    if not _enough(classes):
        return None
    leaves = _leaves(tree, latents)
    heights = np.sort(tree.linkage[:, 2])
    best, parts = BestCut(0.0, np.zeros_like(classes), classes), 0
    for n_groups in N_GROUPS:
        if n_groups > tree.n_leaves:
            break
        labels = tree.labels(1 - heights[tree.n_leaves - n_groups - 1])[leaves]
        if len(np.unique(labels)) == parts:  # a finer cut refines: these features are still grouped as before
            continue
        parts = len(np.unique(labels))
        found = float(adjusted_mutual_info_score(classes, labels))
        if found > best.ami:
            best = BestCut(found, labels, classes)
    return best


def best_ami(tree: FeatureTree, truth: Belonging) -> float | None:
    """The AMI of ``best_cut``."""
    best = best_cut(tree, truth)
    return None if best is None else best.ami


class CutTruth(NamedTuple):
    """One cut against the classes of a level, over features of groups that hold two of them or more."""

    groups: np.ndarray
    classes: np.ndarray


def cut_truth(tree: FeatureTree, truth: Belonging, correlation: float) -> CutTruth | None:
    """The groups of a cut, as a user reads them, beside the truth. None with too few features, as in ``best_cut``."""
    latents, classes = truth.inside(tree)
    labels = tree.labels(correlation)[_leaves(tree, latents)] if len(latents) else latents
    kept = grouped(labels)
    return CutTruth(labels[kept], classes[kept]) if _enough(classes[kept]) else None


def _enough(classes: np.ndarray) -> bool:
    return len(classes) >= FEWEST and len(np.unique(classes)) >= 2


def _leaves(tree: FeatureTree, latents: np.ndarray) -> np.ndarray:
    leaf_of = np.zeros(int(tree.latents.max()) + 1, np.int64)
    leaf_of[tree.latents] = np.arange(tree.n_leaves)
    return leaf_of[latents]
