"""The hierarchy in training: correlation of the codes, the tree at a step, and the penalty on it.

Statistics are of the codes that training produces anyway: no second pass. A snapshot is the dendrogram as it stands,
with how much of it the next one keeps. The penalty is cheaper when the latents that fire on a token are relatives
(Jenatton et al. 2011):

Omega(z) = sum over cuts c of sum over groups g of cut c of ||z_g||_2, per row; the groups of finer cuts lie inside
those of coarser ones, so the groups form a tree. Latents of one group share one norm: k equal codes cost sqrt(k) in
one group and k in k groups. A latent that is alone at a cut is a group of its own, else belonging to a group would be
the dearer choice.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from pipeline.sae.distributed import sum_
from pipeline.sae.sparse.products import Pattern
from pipeline.tree.feature_tree import FeatureTree, load_tree, save_tree
from pipeline.tree.linkage import cut_correlations, linkage_of


class CodeStatistics:
    """Rows, firings, sums and products of the codes since the last ``clear``; float64, since sums of squares cancel.

    L0^2 / 2 products per row, whatever the number of latents: only those of (i, j >= i). They need 8 s^2 bytes (8 MB at
    1024 latents, 2 GB at 16 384).
    """

    def __init__(self, n_latents: int) -> None:
        self.n_latents = n_latents
        self.clear()

    def clear(self) -> None:
        self.rows = 0
        self.fired_s = np.zeros(self.n_latents, np.int64)
        self.sum_s = np.zeros(self.n_latents)
        self.product_ss = np.zeros((self.n_latents, self.n_latents))

    def add(self, pattern: Pattern, value: torch.Tensor, n_rows: int) -> None:
        """Take in a batch's codes."""
        row_offsets = pattern.offsets[:: pattern.n_bags // n_rows]
        codes = (part.cpu().numpy() for part in (row_offsets, pattern.latent, value.double()))
        self.rows += n_rows
        _add_codes(*codes, self.fired_s, self.sum_s, self.product_ss)

    def share(self) -> None:
        """Sum over the processes of a data-parallel training."""
        rows = torch.tensor(self.rows)
        for total in (rows, *map(torch.from_numpy, (self.fired_s, self.sum_s, self.product_ss))):
            sum_(total)
        self.rows = int(rows)

    def correlation(self, latents: np.ndarray) -> np.ndarray:
        """Pearson correlation over rows of some latents, in ascending order, float64; each must vary.

        r_ij = (sum z_i z_j / n - m_i m_j) / (sd_i sd_j)
        """
        mean = self.sum_s[latents] / self.rows
        upper = np.triu(self.product_ss[np.ix_(latents, latents)])
        covariance = (upper + np.triu(upper, 1).T) / self.rows - np.outer(mean, mean)
        sd = np.sqrt(np.diag(covariance))
        return np.clip(covariance / np.outer(sd, sd), -1, 1)

    def frequent(self, at_least: int) -> np.ndarray:
        """Latents with so many firings, and as many rows without one; ascending."""
        return np.flatnonzero((self.fired_s >= at_least) & (self.fired_s <= self.rows - at_least))

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        arrays = {"rows": np.array(self.rows), "fired": self.fired_s, "sum": self.sum_s, "product": self.product_ss}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        self.rows = int(tensors["rows"])
        self.fired_s, self.sum_s, self.product_ss = (
            tensors[name].numpy().copy() for name in ("fired", "sum", "product")
        )


@numba.njit(cache=True, nogil=True)
def _add_codes(row_offsets, latent, value, fired_s, sum_s, product_ss):
    """Row by row; ``latent`` ascends inside a row. Unsigned, for numba tests signed indices for a minus."""
    for row in range(len(row_offsets) - 1):
        for k in range(row_offsets[row], row_offsets[row + 1]):
            i, x = latent[k], value[k]
            fired_s[i] += x > 0
            sum_s[i] += x
            products = product_ss[i]
            for m in range(np.uint64(k), np.uint64(row_offsets[row + 1])):
                products[np.uint64(latent[m])] += x * value[m]


_MIN_FIRINGS = 20  # the correlation of a rarer latent is noise that glues groups together


class Agreement(NamedTuple):
    """Two trees compared over the latents in both; 1 is the same, 0 is chance. ``None`` where nothing is grouped."""

    ari: list[float | None]  # per cut, adjusted Rand index
    ami: list[float | None]  # per cut, adjusted mutual information
    cophenetic: float | None  # correlation of the heights at which pairs of latents merge


def tree_of(statistics: CodeStatistics) -> FeatureTree | None:
    """Average linkage on 1 - r over latents with enough firings; None with fewer than two such latents."""
    latents = statistics.frequent(_MIN_FIRINGS)
    if len(latents) < 2:
        return None
    distance = 1 - statistics.correlation(latents)
    np.fill_diagonal(distance, 0)
    return FeatureTree(linkage_of(squareform(distance, checks=False), "average"), latents)


def agreement(tree: FeatureTree, other: FeatureTree, correlations: list[float]) -> Agreement:
    """Compare cut by cut. Latents that are alone at a cut in both trees are left out: they agree about nothing."""
    common, mine, theirs = np.intersect1d(tree.latents, other.latents, return_indices=True)
    ari: list[float | None] = []
    ami: list[float | None] = []
    for correlation in correlations:
        one, two = tree.labels(correlation)[mine], other.labels(correlation)[theirs]
        grouped = (np.bincount(one)[one] > 1) | (np.bincount(two)[two] > 1)
        some = bool(grouped.any())
        ari.append(float(adjusted_rand_score(one[grouped], two[grouped])) if some else None)
        ami.append(float(adjusted_mutual_info_score(one[grouped], two[grouped])) if some else None)
    if len(common) < 3:
        return Agreement(ari, ami, None)
    heights = [squareform(cophenet(t.linkage))[np.ix_(at, at)] for t, at in ((tree, mine), (other, theirs))]
    pairs = np.triu_indices(len(common), 1)
    return Agreement(ari, ami, float(np.corrcoef(heights[0][pairs], heights[1][pairs])[0, 1]))


def describe(
    tree: FeatureTree, previous: FeatureTree | None, step: int, threshold: float, levels: int
) -> dict[str, Any]:
    """One row for the training curves: sizes of the cuts, agreement with the snapshot before, and its null.

    The null is the same tree with its leaves' latents shuffled.
    """
    correlations = cut_correlations(threshold, levels)
    row: dict[str, Any] = {"step": step, "latents": tree.n_leaves, "cuts": []}
    compared = null = None
    if previous is not None:
        compared = agreement(tree, previous, correlations)
        null = agreement(tree.shuffled(np.random.default_rng(step)), previous, correlations)
        row |= {"cophenetic": compared.cophenetic, "cophenetic_null": null.cophenetic}
    for level, correlation in enumerate(correlations, start=1):
        sizes = np.bincount(tree.labels(correlation))
        grouped = sizes[sizes > 1]
        cut = {"level": level, "correlation": correlation, "groups": len(grouped), "grouped": int(grouped.sum())}
        if compared is not None and null is not None:
            at = level - 1
            cut |= {"ari": compared.ari[at], "ami": compared.ami[at]}
            cut |= {"ari_null": null.ari[at], "ami_null": null.ami[at]}
        row["cuts"].append(cut)
    return row


def cuts_of(tree: FeatureTree, threshold: float, levels: int) -> list[list[np.ndarray]]:
    """The groups of latent ids of every cut, coarsest first."""
    return [tree.cut(correlation) for correlation in cut_correlations(threshold, levels)]


def write_snapshot(folder: Path, step: int, tree: FeatureTree) -> None:
    """``snapshots/step_000500/``: the tree; what is said of it stands in ``training.json``."""
    save_tree(folder / "snapshots" / f"step_{step:06d}", tree)


def last_snapshot(folder: Path, step: int) -> FeatureTree | None:
    """The newest tree at or before ``step``: a later one belongs to steps that a kill undid."""
    places = sorted((folder / "snapshots").glob("step_*"))
    past = [place for place in places if int(place.name.removeprefix("step_")) <= step]
    return load_tree(past[-1]) if past else None


class TreePenalty:
    """``weight`` * mean over rows of Omega, with its gradient on the active codes."""

    def __init__(self, cuts: list[list[np.ndarray]], n_latents: int, weight: float, device: str) -> None:
        """``cuts`` are lists of groups of latent ids; latents outside all groups of a cut stand alone there."""
        self.weight = weight
        self.cuts = [_labels(groups, n_latents).to(device) for groups in cuts]

    def __call__(self, pattern: Pattern, value: torch.Tensor, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss (scalar) and dL/dvalue [nnz]."""
        share = self.weight / n_rows
        loss, gradient = value.new_zeros(()), torch.zeros_like(value)
        for group_s in self.cuts:
            key = pattern.row * (int(group_s.max()) + 1) + group_s[pattern.latent]
            _, cell = key.unique(return_inverse=True)
            norm = value.new_zeros(len(value)).index_add_(0, cell, value.square()).sqrt_()
            loss += share * norm.sum()
            gradient += share * value / norm[cell].clamp(min=1e-12)
        return loss, gradient


def _labels(groups: list[np.ndarray], n_latents: int) -> torch.Tensor:
    """Group number of every latent, int64 [s]."""
    labels = np.arange(len(groups), len(groups) + n_latents)  # each alone, until a group claims it
    for number, members in enumerate(groups):
        labels[members] = number
    return torch.from_numpy(labels)
