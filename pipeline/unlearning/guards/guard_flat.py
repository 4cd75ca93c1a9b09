"""Flat guard (in the manner of DSG, Muhamed et al. 2025): a detector decides when to edit, a wide clamp does the rest.

The detector looks at single latents. A guard blocks and does not erase: the report keeps it in a category of its own.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import Edit, Guard
from pipeline.unlearning.guards.guard import fit_guard, guarded


def choose(case: Case) -> Choice:
    """Sweep the multiplier; the guard's threshold comes from dev text that must stay."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamp behind the guard at every multiplier."""
    yield from guarded(case, "guard_flat", flat_guard(case))


def flat_guard(case: Case) -> Guard:
    """The detector on single latents."""
    return fit_guard(case, [np.array([latent]) for latent in range(case.train.dictionary.d_sae)])
