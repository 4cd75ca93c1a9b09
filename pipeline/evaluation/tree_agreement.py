"""All that is said about how far two trees over the same items agree, and what shuffled leaves would give."""

from typing import NamedTuple

import numpy as np

from pipeline.evaluation.cut_agreement import ami, ari, fowlkes_mallows
from pipeline.evaluation.height_agreement import bakers_gamma, cophenetic, draw_triplets, triplet_agreement
from pipeline.evaluation.ultrametric import Row, row_of
from pipeline.hierarchy.tree import ROUNDING, FeatureTree

MOST_ITEMS = 1500  # of which all pairs are compared; beyond, a random sample of them
N_TRIPLETS = 50_000
CURVE = (8, 16, 32, 64, 128, 256, 512)  # numbers of groups of the Fowlkes-Mallows curve


class Agreement(NamedTuple):
    """Two trees; each list has one number per cut. None where the measure is not defined."""

    groups: list[int]  # of both trees: the first one's cut at its correlation, single items included
    ari: list[float]
    ami: list[float | None]
    cophenetic: float | None
    bakers_gamma: float | None
    triplets: float | None
    bk: dict[int, float]  # by number of groups

    def named(self, level_names: bool = True) -> dict[str, float]:
        """One number per name, ``ari_level_1`` and so on; ``bk`` is the mean of the curve. What is None is absent."""
        levels = {f"{name}_level_{i}": x for name in ("ari", "ami") for i, x in enumerate(getattr(self, name), 1)}
        whole = {name: getattr(self, name) for name in ("cophenetic", "bakers_gamma", "triplets")}
        curve = {"bk": float(np.mean(list(self.bk.values())))} if self.bk else {}
        return {name: x for name, x in {**levels, **whole, **curve}.items() if x is not None}


def compare(one: Row, two: Row, correlations: list[float], seed: int) -> Agreement:
    """Cuts at matched numbers of groups: as many in ``two`` as ``one`` has at each correlation, coarsest first."""
    n = len(one.item)
    cuts = [one.groups_at(1 - correlation + ROUNDING) for correlation in correlations]
    pairs = [(one.labels(k), two.labels(k)) for k in cuts]
    heights = one.heights(), two.heights()
    triplets = draw_triplets(n, N_TRIPLETS, np.random.default_rng(seed))
    return Agreement(
        cuts,
        [ari(*pair) for pair in pairs],
        [ami(*pair) for pair in pairs],
        cophenetic(*heights),
        bakers_gamma(*heights),
        triplet_agreement(*heights, triplets),
        {k: fowlkes_mallows(one.labels(k), two.labels(k)) for k in CURVE if k < n},
    )


def common_rows(
    one: FeatureTree, two: FeatureTree, pairs: np.ndarray, seed: int, most: int = MOST_ITEMS
) -> tuple[Row, Row] | None:
    """Both trees over the ``pairs`` [p, 2] of latents (one's, two's) that both have clustered, ``most`` at most.

    None where fewer than four pairs remain.
    """
    kept = pairs[np.isin(pairs[:, 0], one.latents) & np.isin(pairs[:, 1], two.latents)]
    if len(kept) > most:
        kept = kept[np.sort(np.random.default_rng(seed).choice(len(kept), most, replace=False))]
    return (row_of(one, kept[:, 0]), row_of(two, kept[:, 1])) if len(kept) >= 4 else None


def same_latents(tree: FeatureTree) -> np.ndarray:
    """Pairs for two trees of one dictionary: every latent with itself."""
    return np.repeat(tree.latents[:, None], 2, axis=1)
