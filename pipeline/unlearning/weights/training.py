"""Fine-tuning that forgets: a forget loss on the target, KL to the original model elsewhere, then calibration.

    phase 1   forget loss + w KL(original || model)
    phase 2   indifference among the options of the target's probes + w KL(original || model)

With an attacker both first terms are the mean of those of the model and of its attacker. AdamW without decay at a
constant rate, gradients clipped at norm 1. The first phase is short: what it breaks the second heals. Candidates are
points on the straight line from the original weights through the trained ones; dev chooses.

The attacker keeps a change of every weight. At each step of either phase it takes one AdamW step toward the target's
whole sentences, from where it stands; after ``attack_steps`` it starts anew from no change. The editor lowers the mean
of its loss at the weights and at ``weights + change``; its gradient is that with respect to its own weights, the
change held fixed. To first order that is the meta-learning of Tamirisa et al. (2024, "Tamper-resistant safeguards",
arXiv 2408.00761). What must stay is anchored at the weights themselves. In memory the attacker takes three more copies
of the weights: its change and AdamW's moments.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.activations.arithmetic import computing
from pipeline.core.progress import track
from pipeline.corpus.targets import COPYING, relations
from pipeline.language_model.answers import Question, tokenize
from pipeline.language_model.hooks import decoder_layers, module_at
from pipeline.language_model.wide_head import Reweighted
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.settings import PhaseSettings, TrainedWeights
from pipeline.unlearning.weights.examples import Example, by_length, documents, draw, examples, padded, whole
from pipeline.unlearning.weights.losses import divergence, indifference, option_scores, token_logprobs

RATE = 5e-4  # the attacker's AdamW


class Attacker:
    """What an attacker makes of a model beside the model's own training."""

    def __init__(
        self, model: PreTrainedModel, pool: Sequence[Example], steps: int, batch: int, pad: int, rate: float = RATE
    ) -> None:
        self.model = model
        self.pool = [whole(example.tokens) for example in pool]
        self.steps, self.batch, self.pad, self.rate = steps, batch, pad, rate
        self.taken = 0

    def now(self) -> Reweighted:
        """The model as the attacker has it after the steps so far, whatever steps follow."""
        weights = dict(self.model.named_parameters())
        return Reweighted(self.model, {name: weights[name] + change for name, change in self.change.items()})

    def relearn(self, rng: np.random.Generator) -> None:
        """One step more, or the first one of a new attack."""
        if self.taken % self.steps == 0:
            self._begin()
        self.taken += 1
        batch = padded(draw(self.pool, self.batch, rng), self.pad, self.model.device)
        changes = [change.requires_grad_(True) for change in self.change.values()]
        with torch.enable_grad():
            loss = -token_logprobs(self.now(), batch)[batch.counted_bt].mean()
            gradients = torch.autograd.grad(loss, changes)
        for change, gradient in zip(changes, gradients, strict=True):
            change.requires_grad_(False).grad = gradient
        self.optimizer.step()

    def _begin(self) -> None:
        self.change = {name: torch.zeros_like(weight) for name, weight in self.model.named_parameters()}
        self.optimizer = torch.optim.AdamW(self.change.values(), lr=self.rate, weight_decay=0.0)


# Of the model's and the original's log-probabilities of the true tokens, and which tokens count: [b, t - 1] each.
ForgetLoss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Lesson(NamedTuple):
    """What a training run forgets and what it keeps, in pools of like length; a batch is drawn from every pool."""

    forget: list[list[Example]]
    retain: dict[str, list[list[Example]]]  # relation -> pools: sibling, other, copying, general; those that there are
    questions: list[Question]  # of the target's probes, for calibration


def full_lesson(case: Case) -> Lesson:
    """All that the train split has of the target, of its siblings, of the rest of the tree and of general text.

    Where sentences say the target's name, to repeat it there stays.
    """
    retain = {name: examples(case.train, case.target, name) for name in ("sibling", "other", COPYING)}
    retain["general"] = documents(case.train, case.target, "general")
    questions = questions_of(case.train, case.target)
    forget = examples(case.train, case.target, "forget")
    return Lesson([forget], {name: [pool] for name, pool in retain.items() if pool}, questions)


def questions_of(bench: Bench, target: tuple[str, ...]) -> list[Question]:
    """The target's probes as tokenised questions."""
    of_probe = relations(bench.probes, target)
    return [tokenize(p, bench.tokenizer) for p, name in zip(bench.probes, of_probe, strict=True) if name == "forget"]


def weight_edits(case: Case, strengths: Iterable[float], model: PreTrainedModel) -> Candidates:
    """Edits on the line from the case's model (strength 0) to a trained one (1) and beyond."""
    original = {name: tensor.detach() for name, tensor in case.train.model.named_parameters()}
    learnt = {name: tensor.detach() for name, tensor in model.named_parameters()}
    changed = {name: tensor for name, tensor in learnt.items() if not torch.equal(tensor, original[name])}
    for strength in strengths:
        weights = {name: torch.lerp(original[name], tensor, strength) for name, tensor in changed.items()}
        yield case.untouched()._replace(weights=weights, settings={"strength": strength})


def trained(
    case: Case, lesson: Lesson, settings: PhaseSettings, loss: ForgetLoss, attacker: type[Attacker] | None = None
) -> PreTrainedModel:
    """A copy of the model with its weights trained, against an attacker where there is one."""
    model, parameters = trainable(case.train.model, case.settings.trained_weights)
    two_phases(case, parameters, terms_of(case, model, lesson, settings, loss, attacker), settings)
    return model


def trainable(original: PreTrainedModel, which: TrainedWeights) -> tuple[PreTrainedModel, list[torch.nn.Parameter]]:
    """A copy of a model, and those of its weights that are trained; it shares the others with the original.

    ``layers`` leaves out the embedding and the head: with a wide vocabulary most of the weights, and a quarter of the
    price of every predicted token. ``mlps`` leaves out attention too, which lost more of a name that the text says,
    and the first quarter of the layers, which read words: what is trained there damages everything.
    """
    if which == "all":
        model = copy.deepcopy(original).requires_grad_(True)
        return model, list(model.parameters())
    chosen = {id(weight) for part in _parts(original, which) for weight in part.parameters()}
    shared = {id(weight): weight for weight in original.parameters() if id(weight) not in chosen}
    model = copy.deepcopy(original, shared)
    parameters = [weight for part in _parts(model, which) for weight in part.requires_grad_(True).parameters()]
    return model, parameters


def _parts(model: PreTrainedModel, which: TrainedWeights) -> list[torch.nn.Module]:
    layers = decoder_layers(model)
    return list(layers) if which == "layers" else [module_at(layer, "mlp") for layer in layers[len(layers) // 4 :]]


class Terms(NamedTuple):
    """The terms of the loss, each on a fresh batch; nothing calibrates where the target has no probes."""

    forgetting: Callable[[], torch.Tensor]
    keeping: Callable[[], torch.Tensor]
    calibrating: Callable[[], torch.Tensor] | None


def terms_of(
    case: Case,
    model: PreTrainedModel,
    lesson: Lesson,
    settings: PhaseSettings,
    loss: ForgetLoss,
    attacked_by: type[Attacker] | None = None,
) -> Terms:
    """A forget loss on the true tokens, KL to the original model on what is kept, indifference among options."""
    rng = np.random.default_rng(case.seed)
    original, pad, sizes = case.train.model, case.train.tokenizer.pad_token_id, case.settings.batch
    pool = [example for pool in lesson.forget for example in pool]
    attacker = attacked_by(model, pool, settings.attack_steps, sizes.forget, pad) if attacked_by else None

    def both(loss_of: Callable[[PreTrainedModel | Reweighted], torch.Tensor]) -> torch.Tensor:
        """A loss of the model; where there is an attacker, its mean with that of what this one made of the model."""
        if attacker is None:
            return loss_of(model)
        attacker.relearn(rng)
        return (loss_of(model) + loss_of(attacker.now())) / 2

    def forgetting() -> torch.Tensor:
        return torch.stack([forgetting_from(pool) for pool in lesson.forget]).mean()

    def forgetting_from(pool: list[Example]) -> torch.Tensor:
        batch = padded(draw(pool, sizes.forget, rng), pad, model.device)
        with torch.no_grad():
            before_bt = token_logprobs(original, batch)
        return both(lambda of: loss(token_logprobs(of, batch), before_bt, batch.counted_bt))

    def keeping() -> torch.Tensor:
        if not lesson.retain:
            return torch.zeros((), device=model.device)
        kept = [(pool, sizes.kept(name)) for name, pools in lesson.retain.items() for pool in pools]
        drawn = [example for pool, size in kept for example in draw(pool, size, rng)]
        total, tokens = torch.zeros((), device=model.device), 0
        for alike in by_length(drawn):
            batch = padded(alike, pad, model.device)
            here = int(batch.mask_bt.sum())
            total, tokens = total + here * divergence(model, original, batch, rng), tokens + here
        return settings.retain_weight * total / tokens

    def calibrating() -> torch.Tensor:
        some = rng.choice(len(lesson.questions), min(sizes.forget, len(lesson.questions)), replace=False)
        questions = [lesson.questions[i] for i in some]
        return both(lambda of: indifference(option_scores(of, questions, pad)))

    return Terms(forgetting, keeping, calibrating if lesson.questions else None)


def two_phases(case: Case, parameters: list[torch.nn.Parameter], terms: Terms, settings: PhaseSettings) -> None:
    """Train the parameters in place, in the case's arithmetic; they stay float32 whatever it rounds."""
    rate, calibrating = settings.learning_rate, terms.calibrating

    def loss_with(first: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def loss() -> torch.Tensor:  # a context for each step: autocast keeps the rounded weights until it is left
            with computing(case.arithmetic, parameters[0].device.type):
                return first() + terms.keeping()

        return loss

    steps = minimise(parameters, loss_with(terms.forgetting), settings.steps, rate)
    for _ in track(steps, "forgetting", settings.steps, "steps"):
        pass
    if calibrating:
        steps = minimise(parameters, loss_with(calibrating), settings.calibration_steps, rate)
        for _ in track(steps, "calibrating", settings.calibration_steps, "steps"):
            pass


def minimise(
    parameters: list[torch.nn.Parameter], loss: Callable[[], torch.Tensor], steps: int, learning_rate: float
) -> Iterator[int]:
    """``steps`` of AdamW; yields how many are done after each one."""
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    for step in range(1, steps + 1):
        with torch.enable_grad():
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        yield step
