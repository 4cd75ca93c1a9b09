"""Learned gates on single latents: the flat twin of ``gates_tree``, trained and swept in the same way."""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.gates import gates


def choose(case: Case) -> Choice:
    """Sweep the learning rate and the strength."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The gates of every learning rate at every strength."""
    latents = np.arange(case.train.dictionary.d_sae)
    single = gates.Gates([latents[i : i + 1] for i in latents], np.ones(len(latents)))
    yield from gates.candidates(case, "gates_flat", single, case.settings.gates_flat)
