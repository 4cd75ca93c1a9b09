"""Guards: a detector decides, position by position, where a wide clamp acts (after DSG, Muhamed et al. 2025).

A guard blocks and does not erase: the report keeps it in a category of its own.

A logistic regression tells inputs about the target from all others. Its features are sums over sets of latents of the
largest code of each latent so far, divided by the root of the set's size: single latents for a flat guard, nodes of
the tree for a guard on groups. Either way the guard is linear in the latents' largest codes.

A fixed vector behind the flat guard is the control for everything that a guarded clamp does with a dictionary:

    x' = x - c (mean x on the target's prompts - mean x on all other prompts and texts)    where the guard fires

A clamp of many latents at a guarded position comes close to adding one vector; this adds one and needs no dictionary
but for the guard. Special tokens count in neither mean.
"""

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.edit import Guard
from pipeline.unlearning.gates.gates import WIDEST

PASSING = 0.995  # share of dev inputs to retain that a guard must let pass


def guard_flat(case: Case) -> Candidates:
    """A detector on single latents; the multiplier is swept."""
    yield from _guarded(case, flat_guard(case))


def guard_tree(case: Case) -> Candidates:
    """A detector on the activity of the tree's nodes in place of latents; the clamp behind it is the same.

    A node is active when any of its latents is, so that a text may be recognised by a latent that no training text of
    the target showed, if it stands near one that did.
    """
    nodes = [node.members for node in case.tree.nodes() if len(node.members) <= WIDEST]
    yield from _guarded(case, fit_guard(case, nodes))


def flat_guard(case: Case) -> Guard:
    """The detector on single latents."""
    return fit_guard(case, [np.array([latent]) for latent in range(case.train.dictionary.d_sae)])


def _guarded(case: Case, guard: Guard) -> Candidates:
    """Behind the guard, a clamp at every multiplier of all that is more active on knowledge than on general text."""
    knowing_s = sum(case.firing.rates(case.target, name) for name in ("forget", "sibling", "other"))
    factual = np.flatnonzero(knowing_s > 2 * case.firing.rates(case.target, "general"))
    groups, scale_s = [factual.tolist()], case.firing.scale(case.target)
    for multiplier in case.settings.guard_multipliers:
        yield case.clamp(groups, scale_s, multiplier, {})._replace(guard=guard)


def fit_guard(case: Case, sets: list[np.ndarray]) -> Guard:
    """Fit on the ends of train inputs, then move the bias so that dev inputs to retain pass undisturbed.

    Inputs are prompts (prefixes, without the answer: a detector fitted on whole sentences misses prompts) and texts.
    """
    basis_sg = set_basis(sets, case.train.dictionary.d_sae)
    seen_ns, labels = largest_codes(case.train, case.target)
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    model.fit(seen_ns @ basis_sg, labels)
    weight_s = basis_sg @ model.coef_[0]
    dev_ns, dev_labels = largest_codes(case.dev, case.target)
    highest_kept = float(np.quantile((dev_ns @ weight_s)[~dev_labels], PASSING))
    return Guard(torch.from_numpy(weight_s).float(), min(float(model.intercept_[0]), -highest_kept))


def set_basis(sets: list[np.ndarray], d_sae: int) -> sparse.csr_array:
    """[s, g]: 1 / sqrt(size of the set) for the latents of each set."""
    sizes = np.array([len(members) for members in sets])
    values = np.repeat(1 / np.sqrt(sizes), sizes)
    place = np.concatenate(sets), np.repeat(np.arange(len(sets)), sizes)
    return sparse.csr_array((values, place), (d_sae, len(sets)))


@torch.no_grad()
def largest_codes(bench: Bench, target: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The largest code of each latent over each input, [n, s], and whether the input belongs to the target."""
    rows, labels = [], []
    for batch, resid_btd, of_row in bench.inputs(target):
        codes_bts = bench.dictionary.encode(resid_btd.float())
        rows.append(torch.where(bench.editable(batch)[..., None], codes_bts, 0.0).amax(1).cpu())
        labels += [name == "forget" for name in of_row]
    return torch.cat(rows).numpy(), np.array(labels)


def fixed_vector(case: Case) -> Candidates:
    """A vector behind the flat guard at every length but 0, which would change nothing."""
    guard, difference_d = flat_guard(case), difference_of_means(case.train, case.target)
    for multiplier in case.settings.vector_multipliers:
        shift_d = -multiplier * difference_d
        yield case.untouched()._replace(guard=guard, shift=shift_d, settings={"multiplier": multiplier})


def difference_of_means(bench: Bench, target: tuple[str, ...]) -> torch.Tensor:
    """Mean residual over the target's tokens minus that over all other tokens, float32 [d]."""
    sums, counts = torch.zeros(2, bench.dictionary.d_model, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for batch, resid_btd, of_row in bench.inputs(target):
        inside_b = torch.tensor([name == "forget" for name in of_row])
        editable_bt = bench.editable(batch).cpu()
        for side, rows_b in enumerate((inside_b, ~inside_b)):
            where_bt = editable_bt & rows_b[:, None]
            sums[side] += resid_btd.cpu()[where_bt].double().sum(0)
            counts[side] += where_bt.sum()
    target_d, rest_d = sums / counts.clamp(min=1)[:, None]
    return (target_d - rest_d).float()
