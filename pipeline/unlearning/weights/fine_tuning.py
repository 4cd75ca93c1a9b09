"""Fine-tuning by a forget loss, with an anchor on what must stay; what is forgotten stays so when every hook is gone.

    npo           2 / beta mean log(1 + (p / p_original)^beta) on the target's answers (Zhang et al. 2024); the gradient
                  of an answer dies down once it is forgotten, so it stops by itself where gradient ascent runs away
    npo_attacked  the same against an attacker who relearns the target meanwhile (``attacker``): the twin of
                  ``group_adapter`` without groups
    grad_diff     - min(CE of the target's answers, ln V) (Liu et al. 2022; Maini et al. 2024); without the bound, the
                  loss of knowing nothing, the ascent runs away and takes the siblings with it
    grad_ascent   log p of the target's answers (Jang et al. 2023), with nothing to hold the rest: the weakest rival and
                  the floor of precision; it is calibrated like the others, so that it does not lose for want of tuning

All weights are trained, or those of the decoder layers, or of their MLPs (``trained_weights``). The first three add
w KL(original || model) on sibling, other and general inputs. One training run; dev chooses how far.

    rmu           the target's hidden states are steered to one random direction, all others held (Li et al. 2024)

Its loss = mean |h(x) - c u|^2 on the target + w mean |h(x) - h_original(x)|^2 on what is kept, h the residual stream
that leaves the edited layer, u a random unit vector, c a multiple of the stream's mean norm; both terms are in units
of the original's mean |h|^2. Only the output map of the MLP of each layer up to it is trained. Calibration follows as
for the others.
"""

import copy
import math

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.language_model.hooks import capture
from pipeline.language_model.structure import output_map
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.weights.examples import Padded, draw, padded
from pipeline.unlearning.weights.losses import ascent, bounded_ascent, indifference, option_scores, preference
from pipeline.unlearning.weights.training import (
    Attacker,
    ForgetLoss,
    Terms,
    full_lesson,
    trained,
    two_phases,
    weight_edits,
)

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


STEERING = 5  # length of the random vector, in mean norms of the residual stream
N_LAYERS = 3  # layers whose MLP outputs are trained, the edited one the last


def rmu(case: Case) -> Candidates:
    """One training run; dev chooses how far."""
    yield from weight_edits(case, case.settings.strengths, steered(case))


def steered(case: Case) -> PreTrainedModel:
    """A copy of the model, steered and calibrated."""
    settings, original, layer = case.settings.rmu, case.train.model, case.layer
    lesson, pad, rng = full_lesson(case), case.train.tokenizer.pad_token_id, np.random.default_rng(case.seed)
    model = copy.deepcopy(original).requires_grad_(False)
    parameters = [output_map(model, i).weight.requires_grad_(True) for i in _trained_layers(layer)]
    norm, power = _scale(case)
    width = model.config.get_text_config().hidden_size
    towards_d = torch.from_numpy(rng.standard_normal(width)).float().to(model.device)
    towards_d *= STEERING * norm / towards_d.norm()

    def batch(pool: list, size: int) -> Padded:
        return padded(draw(pool, size, rng), pad, model.device)

    def forgetting() -> torch.Tensor:
        some = batch(lesson.forget[0], case.settings.batch.forget)
        return (_states(model, some, layer) - towards_d).square().mean() / power

    def keeping() -> torch.Tensor:
        total = torch.zeros((), device=model.device)
        for name, (pool,) in lesson.retain.items():
            some = batch(pool, case.settings.batch.kept(name))
            with torch.no_grad():
                wanted = _states(original, some, layer)
            total = total + (_states(model, some, layer) - wanted).square().mean() / power
        return settings.retain_weight * total

    def calibrating() -> torch.Tensor:
        some = rng.choice(len(lesson.questions), min(case.settings.batch.forget, len(lesson.questions)), replace=False)
        return indifference(option_scores(model, [lesson.questions[i] for i in some], pad))

    two_phases(case, parameters, Terms(forgetting, keeping, calibrating if lesson.questions else None), settings)
    return model


def _trained_layers(layer: int) -> range:
    return range(max(0, layer - N_LAYERS + 1), layer + 1)


def _states(model: PreTrainedModel, batch: Padded, layer: int) -> torch.Tensor:
    """``resid_post`` of the batch's own tokens but the first, float32 [n, d]."""
    with capture(model, {"resid": (layer, "resid_post")}) as seen:
        model(input_ids=batch.ids_bt, attention_mask=batch.mask_bt)
    return seen["resid"][:, 1:][batch.mask_bt[:, 1:].bool()].float()


def _scale(case: Case) -> tuple[float, float]:
    """Mean norm of the stream and mean of its squared coordinates, over the train bench."""
    bench = case.train
    rows = torch.cat([x[bench.editable(b)].float() for b, x in zip(bench.batches, bench.resid, strict=True)])
    return rows.norm(dim=-1).mean().item(), rows.square().mean().item()
