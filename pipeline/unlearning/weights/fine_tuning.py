"""Fine-tuning of all weights by a forget loss, with a KL anchor; what is forgotten stays so when every hook is gone.

    npo           2 / beta mean log(1 + (p / p_original)^beta) on the target's answers (Zhang et al. 2024); the gradient
                  of an answer dies down once it is forgotten, so it stops by itself where gradient ascent runs away
    npo_attacked  the same against an attacker who relearns the target meanwhile (``attacker``): the twin of
                  ``group_adapter`` without groups
    grad_diff     - min(CE of the target's answers, ln V) (Liu et al. 2022; Maini et al. 2024); without the bound, the
                  loss of knowing nothing, the ascent runs away and takes the siblings with it
    grad_ascent   log p of the target's answers (Jang et al. 2023), with nothing to hold the rest: the weakest rival and
                  the floor of precision; it is calibrated like the others, so that it does not lose for want of tuning

The first three add w KL(original || model) on sibling, other and general inputs. One training run; dev chooses how far.
"""

import math

from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.weights.attacker import Attacker
from pipeline.unlearning.weights.losses import ascent, bounded_ascent, preference
from pipeline.unlearning.weights.training import ForgetLoss, full_lesson, trained, weight_edits

BETA = 0.1  # NPO's; larger lets go of an answer earlier


def npo(case: Case) -> Candidates:
    """Negative preference optimisation."""
    settings = case.settings.npo
    model = trained(case, full_lesson(case), settings, preferring())
    yield from weight_edits(case, case.settings.strengths, model)


def npo_attacked(case: Case) -> Candidates:
    """Negative preference optimisation while an attacker relearns."""
    settings = case.settings.npo_attacked
    model = trained(case, full_lesson(case), settings, preferring(), Attacker)
    yield from weight_edits(case, case.settings.strengths, model)


def grad_diff(case: Case) -> Candidates:
    """Bounded gradient ascent on the target."""
    settings, most = case.settings.grad_diff, math.log(case.train.model.config.get_text_config().vocab_size)
    model = trained(case, full_lesson(case), settings, lambda got, _, counted: bounded_ascent(got, counted, most))
    yield from weight_edits(case, case.settings.strengths, model)


def grad_ascent(case: Case) -> Candidates:
    """Gradient ascent on the target, without anything to retain."""
    settings, lesson = case.settings.grad_ascent, full_lesson(case)._replace(retain={})
    model = trained(case, lesson, settings, lambda got, _, counted: ascent(got, counted))
    yield from weight_edits(case, case.settings.strengths, model)


def preferring(beta: float = BETA) -> ForgetLoss:
    """NPO's forget loss."""
    return lambda got, original, counted: preference(got, original, counted, beta)
