"""The tree of latents against the true tree of a world that was made up: classes, and edges."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from pipeline.activations.codes import SparseCodes
from pipeline.evaluation.cut_agreement import purity
from pipeline.evaluation.figures import Figures
from pipeline.evaluation.intervals import half_sample_error
from pipeline.evaluation.true_edges import Place, edge_scores, places_of
from pipeline.evaluation.truth import SHARES, belonging, best_cut, cut_truth
from pipeline.hierarchy.tree import FeatureTree


def truth_figures(
    figures: Figures,
    trees: dict[str, FeatureTree],
    scale: str,
    correlations: list[float],
    codes: SparseCodes,
    documents: list[dict],
) -> None:
    """For every level of the truth: AMI of the best cut of both scales' trees with the features behind it, then
    purity and AMI of the default tree's own cuts; at last the edges of the cuts. Shuffled leaves beside."""
    shuffled = {name: tree.shuffled(np.random.default_rng(figures.seed)) for name, tree in trees.items()}
    for depth, (level, share) in enumerate(SHARES.items(), start=1):
        truth = belonging(codes, documents, depth, share)
        for name, tree in trees.items():
            figures.number(f"{level}_features_{name}", len(truth.inside(tree).latents))
            best = best_cut(tree, truth)
            if best is not None:
                _score(figures, f"{level}_ami_{name}", adjusted_mutual_info_score, best.groups, best.classes)
        for number, correlation in enumerate(correlations, start=1):
            for suffix, tree in (("", trees[scale]), ("_null", shuffled[scale])):
                cut = cut_truth(tree, truth, correlation)
                if cut is not None:
                    _score(figures, f"{level}_purity{suffix}_level_{number}", purity, *cut)
                    _score(figures, f"{level}_ami{suffix}_level_{number}", adjusted_mutual_info_score, *cut)
    places = places_of(codes, documents)
    for name, tree in trees.items():
        _edges(figures, name, tree, shuffled[name], correlations, places)


def _score(
    figures: Figures,
    name: str,
    measure: Callable[[np.ndarray, np.ndarray], float],
    groups: np.ndarray,
    classes: np.ndarray,
) -> None:
    def of(items: np.ndarray) -> np.ndarray:
        return np.array(measure(groups[items], classes[items]))

    figures.number(name, measure(groups, classes), float(half_sample_error(of, len(groups), figures.seed)))


def _edges(
    figures: Figures,
    scale: str,
    tree: FeatureTree,
    shuffled: FeatureTree,
    correlations: list[float],
    places: dict[int, Place],
) -> None:
    cuts, null = ([of.cut(c) for c in correlations] for of in (tree, shuffled))
    latents = sorted(places)

    def of(items: np.ndarray) -> np.ndarray:
        return np.array(edge_scores(cuts, {latents[i]: places[latents[i]] for i in items.tolist()}))

    found = edge_scores(cuts, places)
    errors = half_sample_error(of, len(latents), figures.seed) if len(latents) > 1 else [None] * len(found)
    for (name, value), error in zip(found._asdict().items(), errors, strict=True):
        figures.number(f"parent_{name}_{scale}", value, error)
    figures.number(f"parent_f1_null_{scale}", edge_scores(null, places).f1)
