"""Guard on groups: ``guard_flat`` with a detector that sees the activity of the tree's nodes in place of latents.

A node is active when any of its latents is, so that a text may be recognised by a latent that no training text of the
target showed, if it stands near one that did. The clamp behind the guard is the same.
"""

from collections.abc import Iterator

from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.guards.guard import fit_guard, guarded


def choose(case: Case) -> Choice:
    """Sweep the multiplier; the guard's threshold comes from dev text that must stay."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The clamp behind the guard at every multiplier."""
    nodes = [node.members for node in case.tree.nodes() if len(node.members) <= case.settings.gate_leaves]
    yield from guarded(case, "guard_tree", fit_guard(case, nodes))
