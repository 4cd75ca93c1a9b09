"""What a latent is worth clamping: what the target gives for it, less what everything else pays.

Each latent i is worth ``f_i - lambda max(mu s_i, o_i, g_i)``, as a share of all positive worth, where f, s, o and g are
about the target, its siblings, other nodes and general text:

    firing   its rates, shrunk by token counts toward the mean of the latent's parent group, so that a latent that was
             seen a few times is judged by its company; without a tree they stay as they are
    effect   the margins that probes lose when it is clamped (effect.py): what fires need not matter
    both     the sum of the two
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.case import Case
from pipeline.unlearning.clamps.effect import margins_lost
from pipeline.unlearning.firing import RETAINED


def worths(case: Case, tree: FeatureTree | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Worth of every latent, float64 [s], for every measure and weight of what must stay, with those settings."""
    gains = {name: MEASURES[name](case, tree) for worth in case.settings.worths for name in WORTHS[worth]}
    for worth, weight in product(case.settings.worths, case.settings.retain_weights):
        shares = [share_of_worth(gains[name], weight, case.settings.sibling_weight) for name in WORTHS[worth]]
        yield np.sum(shares, axis=0), {"worth": worth, "retain_weight": weight}


def share_of_worth(gain: dict[str, np.ndarray], retain_weight: float, sibling_weight: float) -> np.ndarray:
    """Worth of every latent by one measure, as a share of all that is worth taking; float64 [s]."""
    sibling_s = sibling_weight * gain["sibling"]
    worth_s = gain["forget"] - retain_weight * np.max([sibling_s, gain["other"], gain["general"]], axis=0)
    return worth_s / max(np.maximum(worth_s, 0).sum(), 1e-12)


def _fired(case: Case, tree: FeatureTree | None) -> dict[str, np.ndarray]:
    """Firing rates on the four kinds of text."""
    rates = {name: case.firing.rates(case.target, name) for name in ("forget", *RETAINED)}
    if tree is None:
        return rates
    prior = case.settings.shrinkage_tokens
    return {name: shrink(tree, rate_s, case.firing.tokens(case.target, name), prior) for name, rate_s in rates.items()}


def _felt(case: Case, tree: FeatureTree | None) -> dict[str, np.ndarray]:
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
