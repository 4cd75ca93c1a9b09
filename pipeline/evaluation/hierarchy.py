"""How good the tree is: size, stability, coherence of its cuts, and the truth where it is known."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.codes.store import CodesStore
from pipeline.core.files import read_json, read_jsonl, write_json
from pipeline.evaluation.coherence import Lift, decoder_lift, firing_lift, group_table
from pipeline.evaluation.statistics import Figures
from pipeline.evaluation.tree_stability import stability_figures
from pipeline.evaluation.tree_truth import truth_figures
from pipeline.tree.correlation_file import read_correlation
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.subject import Forest


class Places(NamedTuple):
    """Where the stages before have put what is needed here."""

    dendrogram: Path
    correlation: Path
    codes: Path
    sae: Path
    corpus: Path
    model: Path


def hierarchy_figures(
    forest: Forest, firing: Firing, decoder_sd: np.ndarray, places: Places, seed: int, groups_file: Path
) -> dict:
    """Figures of the default tree, and the agreement of both scales' trees with the true topics.

    ``stability_*`` is the mean ARI of a cut with its bootstrap replicates at the same correlation, ``bootstrap_*`` and
    what follows compare at the same number of groups (``resampled_trees``). ``firing`` counts held-out texts. Writes
    what is known of every single group to ``groups_file``.
    """
    figures = Figures(seed)
    stability = read_json(places.dendrogram / "stability.json")
    scale, cuts = stability["scale"], [cut["correlation"] for cut in stability["cuts"]]
    lifts = _cut_figures(figures, stability, forest.cuts[scale], firing, decoder_sd)
    correlation = read_correlation(places.correlation, scale)
    figures.number("cophenetic_correlation", stability["cophenetic_correlation"])
    stability_figures(
        figures, forest.trees[scale], correlation, places.codes, stability["linkage"], cuts, places.sae / "snapshots"
    )
    store = CodesStore.open(places.codes)
    corpus = read_json(places.corpus / "corpus.json")
    if corpus["source"]["kind"] == "world":
        truth_figures(figures, forest.trees, scale, cuts, store.all(), list(read_jsonl(places.corpus / "train.jsonl")))
    write_json(groups_file, group_table(forest.cuts[scale], cuts, lifts, store, places.model))
    return figures.as_dict()


def _cut_figures(
    figures: Figures, stability: dict, cuts: list[list[np.ndarray]], firing: Firing, decoder_sd: np.ndarray
) -> list[dict[str, Lift]]:
    """Size, stability and coherence of every cut; returns the coherence group by group."""
    rate_s = firing.fires_xs.sum(0)
    lifts = []
    for cut, groups in zip(stability["cuts"], cuts, strict=True):
        level = cut["level"]
        figures.number(f"groups_level_{level}", cut["groups"])
        figures.number(f"stability_ari_level_{level}", cut["ari"], cut["ari_sd"] / np.sqrt(stability["replicates"]))
        figures.number(f"stability_null_level_{level}", cut["ari_null"])
        lifts.append(
            {
                "coherence_lift": firing_lift(groups, firing, figures.seed),
                "decoder_lift": decoder_lift(groups, decoder_sd, rate_s, figures.seed),
            }
        )
        for name, lift in lifts[-1].items():
            if len(lift.group):
                figures.sample(f"{name}_level_{level}", [str(group) for group in lift.group], lift.gain)
    return lifts
