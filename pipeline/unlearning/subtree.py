"""The best antichain of tree nodes: disjoint groups from any level of the dendrogram, few and nameable.

Each latent i is worth ``f_i - lambda max(mu s_i, o_i, g_i)``, as a share of all positive worth, where f, s, o and g are
about the target, its siblings, other nodes and general text:

    firing   its rates, shrunk by token counts toward the mean of the latent's parent group, so that a latent that was
             seen a few times is judged by its company
    effect   the margins that probes lose when it is clamped (effect.py): what fires need not matter
    both     the sum of the two

A node is worth the sum over its leaves, minus a fixed cost per node. Among all sets of disjoint nodes with at most
``budget`` latents the best one is found exactly, by dynamic programming from the leaves up.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from pipeline.hierarchy.tree import FeatureTree
from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamping import ways
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.effect import margins_lost
from pipeline.unlearning.statistics import RETAINED


def choose(case: Case) -> Choice:
    """Sweep the measure of worth, the budget of latents, the weight of what must stay, and the clamp."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamps of every distinct antichain at every multiplier."""
    budgets = sorted(set(case.settings.latents))
    seen: set[frozenset[int]] = set()
    gains = {name: MEASURES[name](case) for worth in case.settings.worths for name in WORTHS[worth]}
    for worth, weight in product(case.settings.worths, case.settings.retain_weights):
        shares = [share_of_worth(gains[name], weight, case.settings.sibling_weight) for name in WORTHS[worth]]
        worth_s = np.sum(shares, axis=0)
        antichains = best_antichains(case.tree, worth_s, case.settings.node_cost, budgets)
        for budget, groups in zip(budgets, antichains, strict=True):
            chosen = frozenset(latent for group in groups for latent in group)
            if not chosen or chosen in seen:
                continue
            seen.add(chosen)
            yield from ways(case, "subtree", groups, {"worth": worth, "retain_weight": weight, "budget": budget})


def share_of_worth(gain: dict[str, np.ndarray], retain_weight: float, sibling_weight: float) -> np.ndarray:
    """Worth of every latent by one measure, as a share of all that is worth taking; float64 [s]."""
    sibling_s = sibling_weight * gain["sibling"]
    worth_s = gain["forget"] - retain_weight * np.max([sibling_s, gain["other"], gain["general"]], axis=0)
    return worth_s / max(np.maximum(worth_s, 0).sum(), 1e-12)


def _fired(case: Case) -> dict[str, np.ndarray]:
    """Firing rates on the four kinds of text, shrunk."""
    shrunk = {}
    for name in ("forget", *RETAINED):
        tokens, rate_s = case.firing.tokens(case.target, name), case.firing.rates(case.target, name)
        shrunk[name] = shrink(case.tree, rate_s, tokens, case.settings.shrinkage_tokens)
    return shrunk


def _felt(case: Case) -> dict[str, np.ndarray]:
    """Margins lost on the four kinds of probe when a latent is clamped; what a kind gains is no merit."""
    clamp_s = -case.firing.scale(case.target)
    lost = {name: margins_lost(case, name, clamp_s) for name in ("forget", *RETAINED)}
    return {name: lost_s if name == "forget" else np.maximum(lost_s, 0) for name, lost_s in lost.items()}


MEASURES = {"firing": _fired, "effect": _felt}
WORTHS = {"firing": ("firing",), "effect": ("effect",), "both": ("firing", "effect")}


def shrink(tree: FeatureTree, rate_s: np.ndarray, tokens: int, prior_tokens: float) -> np.ndarray:
    """Each latent's rate as if ``prior_tokens`` more tokens had shown the mean rate of its parent group."""
    mean_s = rate_s.copy()
    placed = np.zeros(len(rate_s), bool)
    for node in tree.nodes():  # lowest first: the first node that holds a latent is its parent
        fresh = node.members[~placed[node.members]]
        mean_s[fresh] = rate_s[node.members].mean()
        placed[fresh] = True
    return (tokens * rate_s + prior_tokens * mean_s) / max(tokens + prior_tokens, 1.0)


class _Table(NamedTuple):
    """For one node: the best value with at most b latents (b = 0 .. budget) and how to get it."""

    value_b: np.ndarray
    left_b: np.ndarray  # latents given to the left child; -1: the node itself is taken


def best_antichains(
    tree: FeatureTree, worth_s: np.ndarray, node_cost: float, budgets: list[int]
) -> list[list[list[int]]]:
    """For each budget (ascending) the groups, lists of latents, of the best antichain with at most so many latents.

    value[node][b] = max(worth(node) - cost if size <= b, max over j of value[left][j] + value[right][b - j]); taking
    nothing is worth 0. O(leaves x budget^2).
    """
    top, n = budgets[-1], tree.n_leaves
    if n == 0:
        return [[] for _ in budgets]
    children = tree.linkage[:, :2].astype(np.int64)
    sizes = np.concatenate([np.ones(n, np.int64), tree.linkage[:, 3].astype(np.int64)])
    worth = np.concatenate([worth_s[tree.latents], np.zeros(n - 1)])
    tables = [_leaf(worth[leaf] - node_cost, top) for leaf in range(n)]
    for k, (left, right) in enumerate(children):
        worth[n + k] = worth[left] + worth[right]
        tables.append(_merge(tables[left], tables[right], worth[n + k] - node_cost, int(sizes[n + k]), top))
    members = [np.array([latent]) for latent in tree.latents] + [node.members for node in tree.nodes()]
    return [
        [members[node].tolist() for node in _taken(tables, children, n, len(tables) - 1, budget)] for budget in budgets
    ]


def _leaf(value: float, top: int) -> _Table:
    values = np.full(top + 1, max(0.0, value))
    values[0] = 0.0
    return _Table(values, np.where(values > 0, -1, 0))


def _merge(left: _Table, right: _Table, whole: float, size: int, top: int) -> _Table:
    budget = np.arange(top + 1)
    given = budget[:, None]  # to the left child
    rest = budget[None, :] - given
    split = np.where(rest >= 0, left.value_b[given] + right.value_b[np.maximum(rest, 0)], -np.inf)  # [given, budget]
    left_b = split.argmax(0)
    value_b = split[left_b, budget]
    take = (budget >= size) & (whole > value_b)
    return _Table(np.where(take, whole, value_b), np.where(take, -1, left_b))


def _taken(tables: list[_Table], children: np.ndarray, n: int, root: int, budget: int) -> list[int]:
    """The nodes of the best antichain below ``root``."""
    taken, stack = [], [(root, budget)]
    while stack:
        node, b = stack.pop()
        choice = int(tables[node].left_b[b])
        if choice < 0:
            taken.append(node)
        elif node >= n and tables[node].value_b[b] > 0:
            left, right = children[node - n]
            stack += [(int(left), choice), (int(right), b - choice)]
    return taken
