"""Flat frequency clamp (Farrell, Lau, Conmy 2024; the method of SAEBench's unlearning evaluation).

Drop the latents that fire too often on text to retain, rank the rest by how often they fire on text to forget, clamp
the first n to a negative value wherever they fire. Two forms are swept, named in a candidate's settings:

    published   text to retain is general text, and every latent is set to the same constant, as in SAEBench
    near        text to retain includes the target's siblings and the other domains, and a latent is set to a multiple
                of its own mean code; the published form picks features of the whole domain
"""

from collections.abc import Iterator

import numpy as np
import torch

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps.sweep import Ranking, clamps, distinct_choices, ranked
from pipeline.unlearning.edit import Edit, clamped


def choose(case: Case) -> Choice:
    """Sweep the form, the retain threshold, the number of latents and the clamp."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of both forms."""
    yield from _published(case)
    yield from clamps(case, "flat_frequency", _rankings(case, case.firing.retain_rates(case.target), "near"))


def _published(case: Case) -> Iterator[Edit]:
    general_s = case.firing.rates(case.target, "general")
    ones_s = torch.ones(len(general_s))
    for choice in distinct_choices(_rankings(case, general_s, "published"), case.settings.latents):
        groups = [[int(latent)] for latent in choice.latents]
        for constant in case.settings.frequency_constants:
            yield clamped(
                "flat_frequency", case.level, case.target, case.layer, groups, ones_s, constant, choice.settings
            )


def _rankings(case: Case, retain_s: np.ndarray, form: str) -> Iterator[Ranking]:
    forget_s = case.firing.rates(case.target, "forget")
    for threshold in case.settings.retain_rates:
        settings = {"form": form, "retain_rate": threshold}
        yield ranked(forget_s, (retain_s < threshold) & (forget_s > 0), settings)
