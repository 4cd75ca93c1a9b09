"""Two dictionaries on the same tokens, their latents matched one to one.

By the correlation of their codes (what they do), and, apart from that, by the cosine of their decoder rows (where they
point). Trees and groups are compared by the match of codes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pipeline.evaluation.feature_match import Match, Moments, best_match, code_correlations, decoder_cosines
from pipeline.hierarchy.tree import FeatureTree


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
