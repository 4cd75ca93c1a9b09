"""Control: ``subtree`` on the same tree with shuffled leaves.

Shape, sizes and sweep are the same, so what ``subtree`` does better it owes to which latents stand together.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.clamps import subtree
from pipeline.unlearning.edit import Edit


def choose(case: Case) -> Choice:
    """The sweep of ``subtree`` over one shuffle."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The candidates of ``subtree`` on the shuffled tree."""
    shuffled = case._replace(tree=case.tree.shuffled(np.random.default_rng(case.seed)))
    for edit in subtree.candidates(shuffled):
        yield edit._replace(method="shuffled_tree")
