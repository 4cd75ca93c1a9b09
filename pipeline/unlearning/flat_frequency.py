"""Flat frequency clamp (Farrell, Lau, Conmy 2024; the method of SAEBench's unlearning evaluation).

Drop the latents that fire too often on text to retain, rank the rest by how often they fire on text to forget, clamp
the first n to a negative value wherever they fire. Two things differ from SAEBench: text to retain includes the
target's siblings (with general text alone the ranking picks features of the whole domain), and the clamp is a
multiple of the latent's own mean code instead of one constant for all.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import Edit, clamped


def choose(case: Case) -> Choice:
    """Sweep the retain threshold, the number of latents and the multiplier."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every retain threshold, number of latents and multiplier."""
    forget_s, retain_s = case.firing.rates(case.target, "forget"), case.firing.retain_rates(case.target)
    scale_s = case.firing.scale(case.target)
    seen: set[tuple[int, ...]] = set()
    for threshold in case.settings.retain_rates:
        ranked = np.argsort(np.where(retain_s < threshold, -forget_s, 0.0), kind="stable")
        ranked = ranked[(retain_s[ranked] < threshold) & (forget_s[ranked] > 0)]
        for n in case.settings.latents:
            chosen = tuple(int(latent) for latent in ranked[:n])
            if chosen in seen:  # too few latents pass the threshold: the same edit again
                continue
            seen.add(chosen)
            for multiplier in case.settings.multipliers:
                settings = {"retain_rate": threshold, "n": n}
                groups = [[latent] for latent in chosen]
                yield clamped(
                    "flat_frequency", case.level, case.target, case.layer, groups, scale_s, multiplier, settings
                )
