"""How good the tree is: size, stability, coherence of its cuts, and the truth where it is known."""

from pathlib import Path

from pipeline.activations.codes import CodesStore
from pipeline.evaluation.coherence import coherence_lift
from pipeline.evaluation.figures import Figures
from pipeline.evaluation.truth import SHARES, belonging, best_ami
from pipeline.files import read_json, read_jsonl
from pipeline.unlearning.statistics import Firing
from pipeline.unlearning.subject import Forest


def hierarchy_figures(
    forest: Forest, dendrogram: Path, firing: Firing, store: CodesStore, corpus_dir: Path, seed: int
) -> dict:
    """Figures of the default tree, and the agreement of both scales' trees with the true topics.

    ``stability_*`` is the mean ARI of a cut with its bootstrap replicates (over documents) and its shuffled null; the
    standard error is the replicates' spread. ``firing`` counts held-out texts.
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
        documents, codes = list(read_jsonl(corpus_dir / "train.jsonl")), store.all()
        for depth, (level, share) in enumerate(SHARES.items(), start=1):
            truth = belonging(codes, documents, depth, share)
            for scale, tree in forest.trees.items():
                figures.number(f"{level}_ami_{scale}", best_ami(tree, truth))
    return figures.as_dict()
