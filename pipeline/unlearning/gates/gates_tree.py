"""Learned gates on nodes of the tree: few groups, each closed as a whole.

There is one gate for every node with at most ``gate_leaves`` latents, single latents among them, and a latent's
multiplier is 1 minus the sum over the nodes above it. A gate costs ``size^gate_power`` times its theta. With a power of
1 a node costs what its latents would cost one by one, and the tree changes nothing; with 0 a wide node is as cheap as a
single latent; in between a node is worth closing when most of its members help, so that few gates remain, which are
groups with a name.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.tree.feature_tree import FeatureTree
from pipeline.unlearning.case import Case, Choice, sweep
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.gates import gates


def choose(case: Case) -> Choice:
    """Sweep the learning rate and the strength."""
    return sweep(case, candidates(case))


def candidates(case: Case) -> Iterator[Edit]:
    """The gates of every learning rate at every strength."""
    settings = case.settings
    nodes = node_gates(case.tree, case.train.dictionary.d_sae, settings.gate_leaves, settings.gate_power)
    yield from gates.candidates(case, "gates_tree", nodes, settings.gates_tree)


def node_gates(tree: FeatureTree, d_sae: int, most_leaves: int, power: float) -> gates.Gates:
    """A gate for every latent, clustered or not, and for every node of 2 to ``most_leaves`` latents."""
    members = [np.array([latent]) for latent in range(d_sae)]
    members += [node.members for node in tree.nodes() if len(node.members) <= most_leaves]
    return gates.Gates(members, np.array([float(len(latents)) for latents in members]) ** power)
