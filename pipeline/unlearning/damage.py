"""What an edit did: the target's remains, and the harm to everything around it.

The forget-damage curve of a sweep has, for every harm that is allowed, the least that is left of the target.
Candidates are points (harm, remains). The curve is their lower envelope, a staircase that starts at the model as it is
(no harm, everything left); the area under it, up to a largest harm, compares methods over their whole range: 1 is
nothing forgotten, 0 everything for free.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from pipeline.corpus.settings import CHANCE
from pipeline.corpus.targets import relations
from pipeline.unlearning.bench import Bench, Outcome


class Damage(NamedTuple):
    """Shares are 0-1; drops are in points (0-100), before minus after; absent where there is nothing to measure on."""

    forget_choice: float
    forget_cloze: float
    forget_probes: int
    sibling_drop: float | None
    other_drop: float | None
    general_drop: float | None
    copying_drop: float | None  # of the target's own name where the prompt says it
    perplexity_ratio: float | None

    @property
    def objective(self) -> float:
        """What a sweep minimises, in shares: remains of the target, plus the worst of the harms.

        Choice counts twice, and on both sides of chance: an answer that is avoided is as telling as one that is given.
        Within one standard error of guessing it counts as chance.
        """
        margin = math.sqrt(CHANCE * (1 - CHANCE) / self.forget_probes)
        remains = max(0.0, self.forget_cloze - 0.05) + 2 * max(0.0, abs(self.forget_choice - CHANCE) - margin)
        found = self.sibling_drop, self.other_drop, self.general_drop, self.copying_drop
        drops = [drop for drop in found if drop is not None]
        return remains + max([0.0, *drops]) / 100 + max(0.0, (self.perplexity_ratio or 1.0) - 1)


def damage(bench: Bench, target: Sequence[str], before: Outcome, after: Outcome) -> Damage:
    """Compare the edited model with the unedited one on the same probes and texts."""
    of_probe, of_text = relations(bench.probes, target), relations(bench.texts, target)
    forget = _where(of_probe, "forget")
    general = _where(of_text, "general")
    lost_q = lost(before, after, ~forget)
    drops = {
        name: 100 * _mean(lost_q, _where(of_probe, name)) if name in of_probe else None
        for name in ("sibling", "other", "general", "copying")
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
        drops["copying"],
        ratio,
    )


COMPLETED = 0.5  # cloze of the unedited model on what must stay


def lost(before: Outcome, after: Outcome, stays_q: torch.Tensor) -> torch.Tensor:
    """What every probe lost, before minus after, as a share: of its completion (cloze).

    Where the unedited model completes less than half of what must stay it is of the choice among options: an answer
    that was never given cannot be lost, and a real model that knows an answer often begins with another word.
    """
    if completes(before, stays_q):
        return before.cloze_q - after.cloze_q
    return before.choice_q - after.choice_q


def completes(before: Outcome, stays_q: torch.Tensor) -> bool:
    """Whether the unedited model completes at least half of what must stay, so that cloze shows what is lost."""
    return not bool(stays_q.any()) or _mean(before.cloze_q, stays_q) >= COMPLETED


def _where(names: Sequence[str], wanted: str) -> torch.Tensor:
    return torch.tensor([name == wanted for name in names], dtype=torch.bool)


def _mean(values: torch.Tensor, where: torch.Tensor) -> float:
    return values[where].mean().item()


HARMS = ("sibling_drop", "other_drop", "general_drop")
MOST_HARM = 20.0  # points; an edit that costs more is not worth comparing


class Point(NamedTuple):
    harm: float  # points (0-100) lost where nothing should be
    remains: float  # 0 (cloze gone, choice at chance) to 1


def points(rows: Iterable[dict], harms: Iterable[str] = HARMS) -> list[Point]:
    """The points of a sweep's rows (``Choice.sweep``): the worst of the named drops that there are.

    A gain elsewhere is no merit.
    """
    names = tuple(harms)
    return [
        Point(max(0.0, *(row[name] or 0.0 for name in names)), remains(row["forget_choice"], row["forget_cloze"]))
        for row in rows
    ]


def remains(choice: float, cloze: float) -> float:
    """What is left of the target: the mean of cloze and of choice above chance, 0-1.

    Choice below chance is not better than at chance: an answer that is avoided is told too.
    """
    return (max(0.0, choice - CHANCE) / (1 - CHANCE) + cloze) / 2


def front(found: Iterable[Point]) -> list[Point]:
    """The Pareto front by rising harm, from the untouched model (0, 1) on; each point leaves less than those before."""
    kept = [Point(0.0, 1.0)]
    for point in sorted(found):
        if point.remains < kept[-1].remains:
            kept = [p for p in kept if p.harm < point.harm] + [point]
    return kept


def area(found: Iterable[Point], most_harm: float = MOST_HARM) -> float:
    """Mean of the curve over harms from 0 to ``most_harm``, 0-1; less is better."""
    stairs = [point for point in front(found) if point.harm <= most_harm]
    ends = [point.harm for point in stairs[1:]] + [most_harm]
    return sum(point.remains * (end - point.harm) for point, end in zip(stairs, ends, strict=True)) / most_harm
