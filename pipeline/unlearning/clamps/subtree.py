"""Groups of the tree, clamped: the best antichain of nodes from any level, and whole groups of one cut.

``subtree`` takes disjoint nodes, few and nameable. A node is worth the sum over its leaves (worth.py), minus a fixed
cost per node. Among all sets of disjoint nodes with at most ``budget`` latents the best one is found exactly, by
dynamic programming from the leaves up.

``level_cut`` takes the first groups of one cut. A group's score is the sum over its latents of the forget rate minus
the retain rate, so that it is taken for what it does as a whole and not for one of its members.
"""

from typing import NamedTuple

import numpy as np

from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.clamps.ways import ablated, ways
from pipeline.unlearning.clamps.worth import worths


def candidates(case: Case) -> Candidates:
    """Sweep the measure of worth, the budget of latents, the weight of what must stay, and the clamp."""
    budgets = sorted(set(case.settings.latents))
    seen: set[frozenset[int]] = set()
    for worth_s, settings in worths(case, case.tree):
        antichains = best_antichains(case.tree, worth_s, case.settings.node_cost, budgets)
        for budget, groups in zip(budgets, antichains, strict=True):
            chosen = frozenset(latent for group in groups for latent in group)
            if not chosen or chosen in seen:
                continue
            seen.add(chosen)
            yield from ways(case, groups, settings | {"budget": budget})


def subtree_ablated(case: Case) -> Candidates:
    """The choice of ``subtree``, ablated group by group."""
    yield from ablated(case.once("subtree").edit)


def level_cut(case: Case) -> Candidates:
    """Sweep the cut, the number of groups and the clamp."""
    gain_s = case.firing.rates(case.target, "forget") - case.firing.retain_rates(case.target)
    for cut, groups in enumerate(case.cuts, start=1):
        order = np.argsort([-gain_s[group].sum() for group in groups], kind="stable")
        for n in case.settings.groups:
            chosen = [groups[g].tolist() for g in order[:n]]
            yield from ways(case, chosen, {"cut": cut, "n_groups": n})


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
    children, sizes, worth = tree.children, tree.sizes, tree.sums(worth_s[tree.latents])
    tables = [_leaf(worth[leaf] - node_cost, top) for leaf in range(n)]
    for node, (left, right) in enumerate(children, start=n):
        tables.append(_merge(tables[left], tables[right], worth[node] - node_cost, int(sizes[node]), top))
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
