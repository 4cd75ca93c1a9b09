"""GradDiff with a KL anchor: gradient ascent on the target, the original model's answers everywhere else.

Loss = - min(CE(answers of the target), ln V) + w KL(original || model) on sibling, other and general inputs (Liu et
al. 2022; Maini et al. 2024). The ascent stops at ln V, the loss of knowing nothing: without that bound it runs away and
takes the siblings with it. All weights are trained; what is forgotten stays forgotten when every hook is gone.
"""

import math

from pipeline.unlearning.case import Case, Choice
from pipeline.unlearning.weights import losses
from pipeline.unlearning.weights.training import choose as train_and_choose
from pipeline.unlearning.weights.training import full_lesson


def choose(case: Case) -> Choice:
    """One training run; dev chooses the strength."""
    most = math.log(case.train.model.config.get_text_config().vocab_size)
    return train_and_choose(
        case,
        "grad_diff",
        full_lesson(case),
        case.settings.grad_diff,
        lambda got, _, counted: losses.bounded_ascent(got, counted, most),
    )
