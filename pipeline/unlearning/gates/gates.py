"""Learned gates: multipliers of latents' codes, trained through the upper layers from the stored residual stream.

    z'_i = m_i z_i,   m = max(FLOOR, 1 - A theta),   theta >= 0

A [s, g] says which latents (s) each gate (g) closes: itself alone in ``gates_flat``, a node of the tree in
``gates_tree``, which has a gate for every node with at most ``WIDEST`` latents, single latents among them. A gate
costs ``size^POWER`` times its theta. With a power of 1 a node costs what its latents would cost one by one, and
the tree changes nothing; with 0 a wide node is as cheap as a single latent; in between a node is worth closing when
most of its members help, so that few gates remain, which are groups with a name. Adam minimises

    forget terms + sum over relations of w KL(original || gated) + sparsity * sum_g price_g theta_g

with every theta put back to 0 where a step takes it below (the proximal step of an L1 penalty on theta >= 0). Only the
gates are trained; the model and the dictionary stay. The linear form matters: a sigmoid gate saturates, and the penalty
wins before it closes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.progress import track
from pipeline.language_model.hooks import upper_layers
from pipeline.language_model.wide_head import Pass
from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.gates.lesson import Lesson, forget_loss_in, lesson_of, retained_in, together
from pipeline.unlearning.settings import GateSettings, GateSweep

WIDEST = 150  # latents of a node that has a gate of its own, or speaks in a guard
POWER = 0.5  # a node costs size^POWER: with 1 as much as its latents one by one, with 0 as one
FLOOR = -3.0  # least multiplier: a closed gate may turn a latent round, but not without bound

Runner = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


class Gates(NamedTuple):
    """The gates that may be closed: which latents each one holds, and what it costs."""

    members: list[np.ndarray]  # latent ids, one array a gate
    price_g: np.ndarray

    def membership(self, d_sae: int) -> torch.Tensor:
        """A as a sparse float32 tensor [s, g]."""
        latent = np.concatenate(self.members)
        gate = np.repeat(np.arange(len(self.members)), [len(members) for members in self.members])
        size = (d_sae, len(self.members))
        ones = torch.ones(len(latent))
        return torch.sparse_coo_tensor(np.stack([latent, gate]), ones, size, check_invariants=False).coalesce()


def multipliers(membership_sg: torch.Tensor, theta_g: torch.Tensor) -> torch.Tensor:
    """What each latent's code is multiplied by, float32 [s]."""
    return (1 - torch.sparse.mm(membership_sg, theta_g[:, None])[:, 0]).clamp(min=FLOOR)


def gates_flat(case: Case) -> Candidates:
    """Gates on single latents: the flat twin, trained and swept in the same way."""
    latents = np.arange(case.train.dictionary.d_sae)
    single = Gates([latents[i : i + 1] for i in latents], np.ones(len(latents)))
    yield from _swept(case, single, case.settings.gates_flat)


def gates_tree(case: Case) -> Candidates:
    """Gates on nodes of the tree: few groups, each closed as a whole."""
    settings = case.settings
    nodes = node_gates(case.tree, case.train.dictionary.d_sae, WIDEST, POWER)
    yield from _swept(case, nodes, settings.gates_tree)


def node_gates(tree: FeatureTree, d_sae: int, most_leaves: int, power: float) -> Gates:
    """A gate for every latent, clustered or not, and for every node of 2 to ``most_leaves`` latents."""
    members = [np.array([latent]) for latent in range(d_sae)]
    members += [node.members for node in tree.nodes() if len(node.members) <= most_leaves]
    return Gates(members, np.array([float(len(latents)) for latents in members]) ** power)


def _swept(case: Case, gates: Gates, settings: GateSweep) -> Candidates:
    """One training run a learning rate; each gives an edit at every strength, ``theta`` times so much."""
    lesson = lesson_of(case)
    membership_sg = gates.membership(case.train.dictionary.d_sae)
    for rate in settings.learning_rates:
        theta_g = trained(case, lesson, gates, settings, rate)
        for strength in case.settings.gates.strengths:
            edit = gate_edit(case, gates, membership_sg, strength * theta_g)
            if len(edit.latents):
                yield edit._replace(settings={"learning_rate": rate, "strength": strength, "groups": len(edit.groups)})


def gate_edit(case: Case, gates: Gates, membership_sg: torch.Tensor, theta_g: torch.Tensor) -> Edit:
    """The gates as an edit; a latent belongs to the largest closed gate that holds it."""
    closed = [g for g in torch.nonzero(theta_g).flatten().tolist()]
    closed.sort(key=lambda g: -len(gates.members[g]))
    placed: set[int] = set()
    groups = []
    for g in closed:
        fresh = [int(latent) for latent in gates.members[g] if int(latent) not in placed]
        placed.update(fresh)
        groups += [tuple(fresh)] if fresh else []
    latents = torch.tensor([latent for group in groups for latent in group], dtype=torch.long)
    factors = multipliers(membership_sg, theta_g)[latents]
    return case.untouched()._replace(
        latents=latents, factors=factors, values=torch.zeros_like(factors), groups=tuple(groups)
    )


def trained(case: Case, lesson: Lesson, gates: Gates, settings: GateSweep, rate: float) -> torch.Tensor:
    """``theta`` after ``steps`` steps from 0, float32 [g]."""
    if not lesson.questions:
        raise PipelineError(f"gates learn from probes, and {' / '.join(case.target)} has none to train on")
    rng = np.random.default_rng(case.seed)
    membership_sg = gates.membership(case.train.dictionary.d_sae)
    price_g = torch.from_numpy(gates.price_g).float()
    theta_g = torch.zeros(len(gates.members), requires_grad=True)
    optimizer = torch.optim.Adam([theta_g], lr=rate, betas=(0.9, 0.98))
    head, steps = case.train.model.get_output_embeddings(), case.settings.gates.steps
    with upper_layers(case.train.model, case.layer) as run, torch.enable_grad():
        for _ in track(range(steps), "gates", steps, "steps"):
            change = _gating(case, multipliers(membership_sg, theta_g))
            remains = _loss(lesson, case.settings.gates, rng, change, head, run)
            loss = remains + settings.sparsity * (price_g * theta_g).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            theta_g.data.clamp_(min=0)
    return theta_g.detach()


def _gating(case: Case, multiplier_s: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """``x + ((m - 1) z) W_dec`` on editable positions."""
    dictionary = case.train.dictionary

    def change(resid_btd: torch.Tensor, editable_bt: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            codes_bts = dictionary.encode(resid_btd.float()) * editable_bt[..., None]
        changed_btd = ((multiplier_s.to(codes_bts.device) - 1) * codes_bts) @ dictionary.W_dec
        return resid_btd + changed_btd.to(resid_btd.dtype)

    return change


def _loss(
    lesson: Lesson,
    settings: GateSettings,
    rng: np.random.Generator,
    change: Callable,
    head: torch.nn.Module,
    run: Runner,
) -> torch.Tensor:
    """One fresh batch: what is left of the target, and how far everything else has moved."""
    some = _some(lesson.questions, settings.batch.forget, rng)
    rows = [row for question in some for row in question.rows]
    made = _pass(rows, change, head, run)
    loss = forget_loss_in(made, [question.question for question in some], settings.forget_terms)
    for name, pool in lesson.kept.items():
        kept = _some(pool, settings.batch.retain[name], rng)
        loss = loss + settings.retain_weight * retained_in(_pass([k.row for k in kept], change, head, run), kept)
    return loss


def _pass(rows: Sequence, change: Callable, head: torch.nn.Module, run: Runner) -> Pass:
    batch = together(rows)
    return Pass(head, run, (change(batch.resid_btd, batch.editable_bt), batch.mask_bt))


def _some(pool: Sequence, size: int, rng: np.random.Generator) -> list:
    return [pool[i] for i in rng.choice(len(pool), min(size, len(pool)), replace=False)]
