"""A fixed vector behind the flat guard: the control for everything that a guarded clamp does with a dictionary.

    x' = x - c (mean x on the target's prompts - mean x on all other prompts and texts)    where the guard fires

A clamp of many latents at a guarded position comes close to adding one vector; this adds one and needs no dictionary
but for the guard. Special tokens count in neither mean.
"""

import torch

from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.damage import relations
from pipeline.unlearning.guards.guard import flat_guard


def candidates(case: Case) -> Candidates:
    """The vector at every length but 0, which would change nothing."""
    guard, difference_d = flat_guard(case), difference_of_means(case.train, case.target)
    for multiplier in case.settings.vector_multipliers:
        shift_d = -multiplier * difference_d
        yield case.untouched()._replace(guard=guard, shift=shift_d, settings={"multiplier": multiplier})


def difference_of_means(bench: Bench, target: tuple[str, ...]) -> torch.Tensor:
    """Mean residual over the target's tokens minus that over all other tokens, float32 [d]."""
    of_item = [relations(bench.probes, target), relations(bench.texts, target)]
    sums, counts = torch.zeros(2, bench.dictionary.d_model, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for i, (batch, resid_btd) in enumerate(zip(bench.batches, bench.resid, strict=True)):
        source = of_item[i >= len(bench.exam)]
        inside_b = torch.tensor([source[item] == "forget" for item, _ in batch.rows])
        editable_bt = bench.editable(batch).cpu()
        for side, rows_b in enumerate((inside_b, ~inside_b)):
            where_bt = editable_bt & rows_b[:, None]
            sums[side] += resid_btd.cpu()[where_bt].double().sum(0)
            counts[side] += where_bt.sum()
    target_d, rest_d = sums / counts.clamp(min=1)[:, None]
    return (target_d - rest_d).float()
