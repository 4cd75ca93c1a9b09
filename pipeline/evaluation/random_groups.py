"""Groups of random latents that are as large, and as busy, as the groups they are compared with."""

from typing import NamedTuple

import numpy as np

NEAR = 20  # neighbours in the order by rate from which a stand-in is drawn


class ByRate(NamedTuple):
    """The latents that fire at all, the rarest first."""

    latents: np.ndarray  # int64
    rate: np.ndarray  # ascending

    def random_group(self, group: np.ndarray, rate_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As many different latents as ``group`` has, each near one of its members in the order by rate."""
        drawn: set[int] = set()
        for place in np.searchsorted(self.rate, rate_s[group]).tolist():
            start = max(0, min(place - NEAR // 2, len(self.latents) - NEAR))
            near = [latent for latent in self.latents[start : start + NEAR].tolist() if latent not in drawn]
            near = near or [latent for latent in self.latents.tolist() if latent not in drawn]
            drawn.add(near[rng.integers(len(near))])
        return np.array(sorted(drawn), np.int64)


def by_rate(rate_s: np.ndarray) -> ByRate:
    """``rate_s``: how often each latent fires, in any unit, [s]."""
    order = np.argsort(rate_s, kind="stable")
    order = order[rate_s[order] > 0]
    return ByRate(order, rate_s[order])
