"""Group-guided weights: low-rank adapters that can only act where silencing the target's groups is felt.

The groups are those that ``subtree`` chooses on dev. Every linear map W above the edited layer gets ``W + C D``: the r
rows of D are the directions in which its input changes when the groups are masked on the target's text (the first right
singular vectors of that change), and only C, at first zero, is trained, with NPO's loss and calibration against an
attacker who relearns meanwhile. What does not excite the groups has no component along D and passes as before, whether
there is text to retain it or not. The sum is an ordinary weight: no hook, nothing to remove. After SSPU (Wang et al.
2025), which confines an update to the subspace of single features, and CRISP (Ashuach et al. 2026), whose adapters
silence them.
"""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from pipeline.language_model.hooks import decoder_layers, rewriting
from pipeline.language_model.structure import is_transposed, linear_maps
from pipeline.language_model.wide_head import pass_of
from pipeline.unlearning.apply import rewrite
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.weights.fine_tuning import preferring
from pipeline.unlearning.weights.training import Attacker, full_lesson, terms_of, two_phases, weight_edits

RANK = 32  # directions that an adapter may act on


class LowRank(nn.Module):
    """``W -> W + C D`` with D [r, in] fixed and C [out, r] trained from zero; a map may keep its W transposed."""

    def __init__(self, n_out: int, directions_rd: torch.Tensor, transposed: bool = False) -> None:
        super().__init__()
        self.transposed = transposed
        self.register_buffer("directions_rd", directions_rd)
        self.change_or = nn.Parameter(torch.zeros(n_out, len(directions_rd), device=directions_rd.device))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        change_od = self.change_or @ self.directions_rd
        return weight + (change_od.T if self.transposed else change_od).to(weight.dtype)


def candidates(case: Case) -> Candidates:
    """One training run on the groups of ``subtree``'s choice; dev chooses how far."""
    yield from on_groups(case, case.once("subtree").edit)


def on_groups(case: Case, groups: Edit) -> Candidates:
    """The same on the groups of any edit."""
    for edit in weight_edits(case, case.settings.strengths, adapted(case, groups)):
        yield edit._replace(groups=groups.groups)


def adapted(case: Case, groups: Edit) -> PreTrainedModel:
    """A copy of the model with its trained adapters merged into the weights."""
    settings = case.settings.group_adapter
    felt = felt_directions(case, groups, RANK)
    model = copy.deepcopy(case.train.model).requires_grad_(False)
    modules = dict(model.named_modules())
    adapters = {name: _adapter(modules[name], directions_rd) for name, directions_rd in felt.items()}
    for name, adapter in adapters.items():
        parametrize.register_parametrization(modules[name], "weight", adapter)
    parameters = [adapter.change_or for adapter in adapters.values()]
    terms = terms_of(case, model, full_lesson(case), settings, preferring(), Attacker)
    two_phases(case, parameters, terms, settings)
    return _merged(case.train.model, adapters)


def _adapter(linear: nn.Module, directions_rd: torch.Tensor) -> LowRank:
    transposed = is_transposed(linear)
    return LowRank(linear.weight.shape[1 if transposed else 0], directions_rd, transposed)


def _merged(model: PreTrainedModel, adapters: dict[str, LowRank]) -> PreTrainedModel:
    merged = copy.deepcopy(model)
    modules = dict(merged.named_modules())
    with torch.no_grad():
        for name, adapter in adapters.items():
            modules[name].weight.copy_(adapter(modules[name].weight))
    return merged


def felt_directions(case: Case, groups: Edit, rank: int) -> dict[str, torch.Tensor]:
    """For every linear map above the layer: the directions [r, in] in which its input changes on the target's text.

    The change is that between the model as it is and the model with the groups masked (set to zero where they fire).
    """
    model, masked = case.train.model, groups._replace(values=torch.zeros_like(groups.values))
    linear = linear_maps(model, range(case.layer + 1, len(decoder_layers(model))))
    change = {name: [] for name in linear}
    for plain, edited in zip(_inputs(case, linear, None), _inputs(case, linear, masked), strict=True):
        for name in linear:
            change[name].append(edited[name] - plain[name])
    return {name: _principal(torch.cat(parts), rank) for name, parts in change.items()}


def _principal(change_nd: torch.Tensor, rank: int) -> torch.Tensor:
    """The eigenvectors of the largest eigenvalues of ``change^T change``, [r, d]."""
    gram_dd = change_nd.double().T @ change_nd.double()
    return torch.linalg.eigh(gram_dd).eigenvectors[:, -rank:].T.float().contiguous()


@torch.no_grad()
def _inputs(case: Case, linear: dict[str, nn.Linear], masked: Edit | None) -> Iterator[dict[str, torch.Tensor]]:
    """The inputs [n, in] of the linear maps on each batch of the target's train probes and texts."""
    bench, seen = case.train, {}
    one = torch.zeros(2, 1, dtype=torch.long)  # nobody reads the logits: the head is given a single place

    def keep(name: str) -> object:
        return linear[name].register_forward_pre_hook(lambda _, args: seen.__setitem__(name, args[0]))

    handles = [keep(name) for name in linear]
    try:
        for batch, _, of_row in bench.inputs(case.target):
            rows = [row for row, name in enumerate(of_row) if name == "forget"]
            if not rows:
                continue
            editable_bt = bench.editable(batch)[rows]
            ids_bt, mask_bt = (t[rows].to(bench.model.device) for t in (batch.ids_bt, batch.mask_bt))
            if masked is None:
                pass_of(bench.model, ids_bt, mask_bt).logits_at(*one)
            else:

                def change(x: torch.Tensor, editable_bt: torch.Tensor = editable_bt) -> torch.Tensor:
                    return rewrite(masked, bench.dictionary, x, editable_bt)

                with rewriting(bench.model, case.layer, "resid_post", change):
                    pass_of(bench.model, ids_bt, mask_bt).logits_at(*one)
            yield {name: x_btd[editable_bt].float() for name, x_btd in seen.items()}
    finally:
        for handle in handles:
            handle.remove()
