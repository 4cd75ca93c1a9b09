"""NPO against an attacker who relearns the target meanwhile: ``npo`` with the settings of its own section.

The twin of ``group_adapter`` without groups: all weights are trained against the same attacker.
"""

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.weights.npo import preferring
from pipeline.unlearning.weights.training import choose as train_and_choose
from pipeline.unlearning.weights.training import full_lesson


def choose(case: Case) -> Choice:
    """One training run; dev chooses the strength."""
    settings = case.settings.npo_attacked
    return train_and_choose(case, "npo_attacked", full_lesson(case), settings, preferring(settings.beta))
