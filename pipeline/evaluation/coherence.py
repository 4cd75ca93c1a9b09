"""Do the latents of a group fire together on text that the tree never saw?"""

import numpy as np

from pipeline.unlearning.statistics import Firing

N_DRAWS = 20


def coherence_lift(groups: list[np.ndarray], firing: Firing, seed: int) -> tuple[float, float] | None:
    """Mean within-group correlation of firing in held-out texts, minus that of random groups; with a standard error.

    A latent's row is 1 in the texts where it fires. Random groups have the same sizes and are drawn from latents that
    fire in about as many texts. None when no group has two latents that fire.
    """
    present_xs = (firing.fires_xs.toarray() > 0).astype(np.float64)
    count_s = present_xs.sum(0)
    alive = np.flatnonzero((count_s > 0) & (count_s < len(present_xs)))
    standard_xs = (present_xs - present_xs.mean(0)) / np.maximum(present_xs.std(0), 1e-12)
    by_count = alive[np.argsort(count_s[alive], kind="stable")]
    rng = np.random.default_rng(seed)
    gains = []
    for group in groups:
        members = np.intersect1d(group, alive)
        if len(members) < 2:
            continue
        places = np.searchsorted(count_s[by_count], count_s[members])
        random = [_within(standard_xs, _matched(by_count, places, rng)) for _ in range(N_DRAWS)]
        gains.append(_within(standard_xs, members) - float(np.mean(random)))
    if not gains:
        return None
    return float(np.mean(gains)), float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0


def _matched(by_count: np.ndarray, places: np.ndarray, rng: np.random.Generator, near: int = 20) -> np.ndarray:
    """One random latent near each place in the order by count, all different."""
    drawn: set[int] = set()
    for place in places:
        start = int(np.clip(place - near // 2, 0, max(0, len(by_count) - near)))
        window = [int(latent) for latent in by_count[start : start + near] if int(latent) not in drawn]
        drawn.add(int(rng.choice(window or by_count)))
    return np.array(sorted(drawn))


def _within(standard_xs: np.ndarray, members: np.ndarray) -> float:
    """Mean correlation over all pairs of members: (|sum of columns|^2 / n - k) / (k (k - 1))."""
    k, n = len(members), len(standard_xs)
    if k < 2:
        return 0.0
    total = np.square(standard_xs[:, members].sum(1)).sum() / n
    return float((total - k) / (k * (k - 1)))
