"""Negative preference optimisation with a KL anchor (Zhang et al. 2024).

Loss = 2 / beta mean log(1 + (p / p_original)^beta) on the target's answers + w KL(original || model) on sibling, other
and general inputs. All weights are trained. The gradient of an answer dies down once it is forgotten, so it stops by
itself where gradient ascent runs away.
"""

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.weights.losses import preference
from pipeline.unlearning.weights.training import ForgetLoss, full_lesson
from pipeline.unlearning.weights.training import choose as train_and_choose


def choose(case: Case) -> Choice:
    """One training run; dev chooses the strength."""
    settings = case.settings.npo
    return train_and_choose(case, "npo", full_lesson(case), settings, preferring(settings.beta))


def preferring(beta: float) -> ForgetLoss:
    """NPO's forget loss."""
    return lambda got, original, counted: preference(got, original, counted, beta)
