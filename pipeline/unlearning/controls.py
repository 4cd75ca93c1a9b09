"""Controls of ``subtree``: what any edit of that size forgets and breaks, and what the tree's company adds."""

from collections.abc import Sequence

import numpy as np

from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.clamps import subtree
from pipeline.unlearning.clamps.ways import ways


def random_groups(case: Case) -> Candidates:
    """Groups of the sizes that ``subtree`` chose, filled by one draw of latents of similar firing rate."""
    rng = np.random.default_rng(case.seed)
    groups = case.once("subtree").edit.groups
    overall_s = case.firing.fires_xs.sum(0)
    available = np.setdiff1d(np.flatnonzero(overall_s), [latent for group in groups for latent in group])
    by_rate = available[np.argsort(overall_s[available], kind="stable")]
    yield from ways(case, look_alikes(groups, by_rate, overall_s, rng), {})


def look_alikes(
    groups: Sequence[Sequence[int]],
    by_rate: np.ndarray,
    overall_s: np.ndarray,
    rng: np.random.Generator,
    near: int = 20,
) -> list[list[int]]:
    """For every latent of the groups a random one of the ``near`` in ``by_rate`` whose rate is closest, none twice.

    Where fewer are left than the groups hold, the last groups stay smaller.
    """
    drawn: list[list[int]] = []
    for group in groups:
        drawn.append([])
        for latent in group[: len(by_rate)]:
            at = int(np.searchsorted(overall_s[by_rate], overall_s[latent]))
            start = max(0, min(at - near // 2, len(by_rate) - near))
            taken = start + int(rng.integers(len(by_rate[start : start + near])))
            drawn[-1].append(int(by_rate[taken]))
            by_rate = np.delete(by_rate, taken)
    return drawn


def shuffled_tree(case: Case) -> Candidates:
    """``subtree`` on the same tree with its leaves shuffled once.

    Shape, sizes and sweep are the same, so what ``subtree`` does better it owes to which latents stand together.
    """
    shuffled = case.tree.shuffled(np.random.default_rng(case.seed))
    yield from subtree.candidates(case._replace(tree=shuffled))
