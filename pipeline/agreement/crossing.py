"""Which latent of one dictionary is which of another, on the same tokens: matched one to one.

By the correlation of their codes (what they do), and, apart from that, by the cosine of their decoder rows (where they
point). Trees and groups are compared by the match of codes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from pipeline.codes.store import SparseCodes
from pipeline.tree.feature_tree import FeatureTree


class Match(NamedTuple):
    """One-to-one pairs with the largest total score (Hungarian), ascending in the first dictionary's latents."""

    pairs: np.ndarray  # int64 [p, 2]
    score: np.ndarray  # float64 [p]


def best_match(score_ij: np.ndarray, one: np.ndarray, two: np.ndarray) -> Match:
    """Match the rows with the columns of ``score_ij``; ``one`` and ``two`` are their names (latents, say)."""
    i, j = linear_sum_assignment(score_ij, maximize=True)
    return Match(np.stack([one[i], two[j]], axis=1), score_ij[i, j])


def decoder_cosines(one_sd: np.ndarray, two_sd: np.ndarray) -> np.ndarray:
    """|cosine| of every decoder row of one with every row of the other; a zero row has 0 with all, [s, s']."""
    return np.abs(unit_rows(one_sd) @ unit_rows(two_sd).T)


class Moments(NamedTuple):
    """Codes as a sparse matrix with the mean and standard deviation of every latent."""

    codes_ns: sparse.csr_array
    mean_s: np.ndarray
    std_s: np.ndarray


def moments_of(codes: SparseCodes) -> Moments:
    """Float64 throughout: sums of half a million squares."""
    n = len(codes.token_id)
    codes_ns = sparse.csr_array(
        (codes.value.astype(np.float64), codes.index.astype(np.int32), codes.indptr), shape=(n, codes.n_latents)
    )
    mean_s = codes_ns.sum(0) / n
    square_s = codes_ns.power(2).sum(0) / n
    return Moments(codes_ns, mean_s, np.sqrt(np.maximum(0.0, square_s - mean_s**2)))


def code_correlations(one: Moments, two: Moments) -> np.ndarray:
    """Pearson correlation over the same tokens of every latent of one with every latent of the other, [s, s'].

    Exact, from the sparse product sum_n x_ni y_nj; 0 for a latent that never fires.
    """
    n = one.codes_ns.shape[0]
    covariance = (one.codes_ns.T @ two.codes_ns).toarray() / n - np.outer(one.mean_s, two.mean_s)
    scale = np.outer(one.std_s, two.std_s)
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)


def unit_rows(rows_sd: np.ndarray) -> np.ndarray:
    """Every row divided by its length; a zero row stays as it is."""
    norm = np.linalg.norm(rows_sd, axis=1, keepdims=True)
    return np.divide(rows_sd, norm, out=np.zeros(rows_sd.shape), where=norm > 0)


class Side(NamedTuple):
    """One dictionary with its codes on the shared tokens, and its tree."""

    decoder_sd: np.ndarray  # float64
    moments: Moments
    within_ss: np.ndarray  # correlation of its own codes
    rate_s: np.ndarray  # tokens on which each latent fires, int64
    tree: FeatureTree


def side(decoder_sd: np.ndarray, moments: Moments, tree: FeatureTree) -> Side:
    """Everything that comparisons with several others share."""
    rate_s = np.bincount(moments.codes_ns.indices, minlength=len(decoder_sd))
    return Side(decoder_sd.astype(np.float64), moments, code_correlations(moments, moments), rate_s, tree)


@dataclass(frozen=True)
class Crossing:
    """``correlation`` and ``cosine`` are [s, s']; a match leaves out latents that never fire."""

    one: Side
    two: Side
    correlation: np.ndarray  # of codes
    cosine: np.ndarray  # |cosine| of decoder rows
    by_code: Match
    by_decoder: Match

    @cached_property
    def partner_of(self) -> dict[int, int]:
        """Latent of the first -> latent of the second, by code."""
        return dict(self.by_code.pairs.tolist())


def cross(one: Side, two: Side) -> Crossing:
    """Match every latent that fires."""
    correlation = code_correlations(one.moments, two.moments)
    cosine = decoder_cosines(one.decoder_sd, two.decoder_sd)
    live = [np.flatnonzero(part.rate_s) for part in (one, two)]
    matches = (best_match(score[np.ix_(*live)], *live) for score in (correlation, cosine))
    return Crossing(one, two, correlation, cosine, *matches)
