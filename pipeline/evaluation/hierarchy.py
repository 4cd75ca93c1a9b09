"""How good the tree is: size, stability, coherence of its cuts, and the truth where it is known."""

from pathlib import Path

import numpy as np

from pipeline.activations.codes import CodesStore, SparseCodes
from pipeline.evaluation.coherence import coherence_lift
from pipeline.evaluation.figures import Figures
from pipeline.evaluation.true_edges import edge_scores, places_of
from pipeline.evaluation.truth import SHARES, belonging, best_ami
from pipeline.files import read_json, read_jsonl
from pipeline.hierarchy.tree import FeatureTree
from pipeline.unlearning.statistics import Firing
from pipeline.unlearning.subject import Forest


def hierarchy_figures(
    forest: Forest, dendrogram: Path, firing: Firing, store: CodesStore, corpus_dir: Path, seed: int
) -> dict:
    """Figures of the default tree, and the agreement of both scales' trees with the true topics.

    ``stability_*`` is the mean ARI of a cut with its bootstrap replicates (over documents) and its shuffled null; the
    standard error is the replicates' spread. ``firing`` counts held-out texts. An AMI is left out where too few
    features belong to a class of its level.
    """
    figures = Figures(seed)
    stability = read_json(dendrogram / "stability.json")
    figures.number("cophenetic_correlation", stability["cophenetic_correlation"])
    for cut, groups in zip(stability["cuts"], forest.cuts[stability["scale"]], strict=True):
        level = cut["level"]
        figures.number(f"groups_level_{level}", cut["groups"])
        figures.number(f"stability_ari_level_{level}", cut["ari"], cut["ari_sd"])
        figures.number(f"stability_null_level_{level}", cut["ari_null"])
        lift = coherence_lift(groups, firing, seed)
        if lift:
            figures.number(f"coherence_lift_level_{level}", *lift)
    corpus = read_json(corpus_dir / "corpus.json")
    if corpus["source"]["kind"] == "world":
        correlations = [cut["correlation"] for cut in stability["cuts"]]
        _compare_with_truth(
            figures, forest.trees, correlations, store.all(), list(read_jsonl(corpus_dir / "train.jsonl"))
        )
    return figures.as_dict()


def _compare_with_truth(
    figures: Figures,
    trees: dict[str, FeatureTree],
    correlations: list[float],
    codes: SparseCodes,
    documents: list[dict],
) -> None:
    """AMI with every level's classes, the features behind it, and the edges of the cuts with shuffled leaves beside."""
    for depth, (level, share) in enumerate(SHARES.items(), start=1):
        truth = belonging(codes, documents, depth, share)
        for scale, tree in trees.items():
            figures.number(f"{level}_features_{scale}", len(truth.inside(tree).latents))
            ami = best_ami(tree, truth)
            if ami is not None:
                figures.number(f"{level}_ami_{scale}", ami)
    places = places_of(codes, documents)
    for scale, tree in trees.items():
        shuffled = tree.shuffled(np.random.default_rng(figures.seed))
        scores, null = (edge_scores([t.cut(c) for c in correlations], places) for t in (tree, shuffled))
        for name, score in scores._asdict().items():
            figures.number(f"parent_{name}_{scale}", score)
        figures.number(f"parent_f1_null_{scale}", null.f1)
