"""What an edit did: the target's remains, and the harm to everything around it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from pipeline.corpora.relation import relation
from pipeline.unlearning.bench import Bench, Outcome

CHANCE = 0.25  # four options


class Damage(NamedTuple):
    """Shares are 0-1; drops are in points (0-100), before minus after; absent where there is nothing to measure on."""

    forget_choice: float
    forget_cloze: float
    forget_probes: int
    sibling_drop: float | None
    other_drop: float | None
    general_drop: float | None
    perplexity_ratio: float | None

    @property
    def objective(self) -> float:
        """What a sweep minimises, in shares: remains of the target, plus the worst of the harms.

        Choice counts twice, and on both sides of chance: an answer that is avoided is as telling as one that is given.
        Within one standard error of guessing it counts as chance.
        """
        margin = math.sqrt(CHANCE * (1 - CHANCE) / self.forget_probes)
        remains = max(0.0, self.forget_cloze - 0.05) + 2 * max(0.0, abs(self.forget_choice - CHANCE) - margin)
        drops = [drop for drop in (self.sibling_drop, self.other_drop, self.general_drop) if drop is not None]
        return remains + max([0.0, *drops]) / 100 + max(0.0, (self.perplexity_ratio or 1.0) - 1)


def relations(items: Sequence[dict], target: Sequence[str]) -> list[str]:
    """The relation of every probe or text to the target."""
    return [relation(item["path"], target) for item in items]


def damage(bench: Bench, target: Sequence[str], before: Outcome, after: Outcome) -> Damage:
    """Compare the edited model with the unedited one on the same probes and texts."""
    of_probe, of_text = relations(bench.probes, target), relations(bench.texts, target)
    forget = _where(of_probe, "forget")
    general = _where(of_text, "general")
    drops = {
        name: 100 * _mean(before.cloze_q - after.cloze_q, _where(of_probe, name)) if name in of_probe else None
        for name in ("sibling", "other", "general")
    }
    ratio = None
    if general.any():
        extra = (after.loss_x - before.loss_x)[general].sum() / bench.tokens_x[general].sum()
        ratio = extra.exp().item()
    return Damage(
        _mean(after.choice_q, forget),
        _mean(after.cloze_q, forget),
        int(forget.sum()),
        drops["sibling"],
        drops["other"],
        drops["general"],
        ratio,
    )


def _where(names: Sequence[str], wanted: str) -> torch.Tensor:
    return torch.tensor([name == wanted for name in names], dtype=torch.bool)


def _mean(values: torch.Tensor, where: torch.Tensor) -> float:
    return values[where].mean().item()
