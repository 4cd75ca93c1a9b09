"""The methods: their names in params.yaml and final_info.json, what they are, and where their candidates come from.

A method is a generator of candidate edits, ``candidates(case)``; ``case.choose`` sweeps them on dev. The table loads
none of them: settings, report and README read it too, and they need no torch.
"""

from collections.abc import Generator
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pipeline.unlearning.case import Case
    from pipeline.unlearning.damage import Damage
    from pipeline.unlearning.edit import Edit

Kind = Literal["clamp", "guard", "weights", "control"]


class Method(NamedTuple):
    """One method; ``home`` is the module of its generator, ``generator`` its name there."""

    name: str
    kind: Kind
    what: str
    source: str
    home: str
    generator: str = "candidates"
    listens: bool = False  # whether a candidate depends on the damage that the one before it did

    def candidates(self, case: "Case") -> "Generator[Edit, Damage, None]":
        """The method's candidates for one case, in the order in which a tie is decided."""
        return getattr(import_module(self.home), self.generator)(case)


# In the order of the tables: what it does, then its source and where its generator is.
# fmt: off
_TABLE = (
    Method("subtree", "clamp", "the best disjoint nodes of the dendrogram, from any level, clamped",
           "this project", "pipeline.unlearning.clamps.subtree"),
    Method("subtree_ablated", "clamp", "subtree, less the groups that the dev split does better without",
           "this project", "pipeline.unlearning.clamps.subtree", "subtree_ablated", listens=True),
    Method("level_cut", "clamp", "whole groups of one cut of the dendrogram, clamped",
           "this project", "pipeline.unlearning.clamps.subtree", "level_cut"),
    Method("gates_tree", "clamp", "learned gates on nodes of the dendrogram, single latents among them",
           "this project", "pipeline.unlearning.gates.gates", "gates_tree"),
    Method("flat_frequency", "clamp", "the latents that fire most on the target and rarely elsewhere (Farrell 2024)",
           "Farrell et al. 2024", "pipeline.unlearning.clamps.flat", "frequency"),
    Method("flat_log_odds", "clamp", "the latents with the highest log-odds on the target",
           "log-odds ratio", "pipeline.unlearning.clamps.flat", "log_odds"),
    Method("flat_importance", "clamp", "the latents with the highest ratio of squared activation (DSG 2025)",
           "Muhamed et al. 2025", "pipeline.unlearning.clamps.flat", "importance"),
    Method("flat_difference", "clamp", "the latents with the largest difference of rates and ratio (CRISP 2025)",
           "Ashuach et al. 2025", "pipeline.unlearning.clamps.flat", "difference"),
    Method("flat_worth", "clamp", "the latents of the highest worth: the score of subtree without its tree",
           "twin of subtree", "pipeline.unlearning.clamps.flat", "worth"),
    Method("flat_ablated", "clamp", "flat_worth, less the latents that the dev split does better without",
           "twin of subtree_ablated", "pipeline.unlearning.clamps.flat", "worth_ablated", listens=True),
    Method("gates_flat", "clamp", "learned gates on single latents",
           "twin of gates_tree", "pipeline.unlearning.gates.gates", "gates_flat"),
    Method("guard_flat", "guard", "a detector over latents decides where the clamp acts",
           "after Muhamed et al. 2025", "pipeline.unlearning.guards", "guard_flat"),
    Method("guard_tree", "guard", "a detector over groups decides where the clamp acts",
           "this project", "pipeline.unlearning.guards", "guard_tree"),
    Method("fixed_vector", "guard", "a fixed vector is added where the detector of guard_flat fires; no clamp",
           "this project", "pipeline.unlearning.guards", "fixed_vector"),
    Method("grad_diff", "weights", "gradient ascent on the target, descent on what must stay",
           "Liu et al. 2022; Maini et al. 2024", "pipeline.unlearning.weights.fine_tuning", "grad_diff"),
    Method("grad_ascent", "weights", "gradient ascent on the target",
           "Jang et al. 2023", "pipeline.unlearning.weights.fine_tuning", "grad_ascent"),
    Method("npo", "weights", "negative preference optimisation",
           "Zhang et al. 2024", "pipeline.unlearning.weights.fine_tuning", "npo"),
    Method("npo_attacked", "weights", "NPO while an attacker relearns",
           "this project", "pipeline.unlearning.weights.fine_tuning", "npo_attacked"),
    Method("rmu", "weights", "representation misdirection",
           "Li et al. 2024", "pipeline.unlearning.weights.fine_tuning", "rmu"),
    Method("group_adapter", "weights", "a persistent adapter guided by the groups",
           "this project, after Wang et al. 2025", "pipeline.unlearning.weights.group_adapter"),
    Method("scope_npo", "weights", "NPO on a forget set completed by the tree",
           "this project", "pipeline.unlearning.weights.few_shot"),
    Method("random_groups", "control", "random latents, as many and as active as those of subtree",
           "control of subtree", "pipeline.unlearning.controls", "random_groups"),
    Method("shuffled_tree", "control", "subtree on a tree with shuffled leaves",
           "control of subtree", "pipeline.unlearning.controls", "shuffled_tree"),
)
# fmt: on
METHODS: dict[str, Method] = {method.name: method for method in _TABLE}
