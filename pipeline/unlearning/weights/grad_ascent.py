"""Gradient ascent on the target, with nothing to hold the rest: the weakest rival and the floor of precision.

Loss = log p(answers of the target), per token (Jang et al. 2023). Dev chooses the strength, and calibration follows as
for the others, so that it does not lose for want of tuning.
"""

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.weights import losses
from pipeline.unlearning.weights.training import choose as train_and_choose
from pipeline.unlearning.weights.training import full_lesson


def choose(case: Case) -> Choice:
    """One training run without anything to retain; dev chooses the strength."""
    lesson = full_lesson(case)._replace(retain={})
    return train_and_choose(
        case, "grad_ascent", lesson, case.settings.grad_ascent, lambda got, _, counted: losses.ascent(got, counted)
    )
