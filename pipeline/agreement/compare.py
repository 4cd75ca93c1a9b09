"""Trees, groups and single features of two dictionaries side by side, each with what chance would give."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.activations.store import ActivationStore
from pipeline.agreement.crossing import Crossing, Side, cross
from pipeline.agreement.groups import UNSTABLE, Groups, group_stability, stand_ins
from pipeline.agreement.sides import random_side, refuse_other_tokens, trained_side
from pipeline.core.errors import PipelineError
from pipeline.core.processes import prepare_process
from pipeline.core.settings import read_section
from pipeline.evaluation.tree_stability import common_rows, compare
from pipeline.tree.linkage import cut_correlations
from pipeline.tree.settings import CorrelationSettings, DendrogramSettings


def compare_folders(data: Path, other: Path) -> dict[str, Any]:
    """``trained``: the dictionaries of two runs on the same activations; ``random``: two of random directions there."""
    if not (other / "features.zarr").is_dir():
        raise PipelineError(f"{other} holds no features.zarr; give the data/ of another run")
    correlation = read_section(data / "params.yaml", CorrelationSettings, "correlation")
    dendrogram = read_section(data / "params.yaml", DendrogramSettings, "dendrogram")
    prepare_process(threads=1)
    cuts = cut_correlations(dendrogram.threshold, dendrogram.levels)
    refuse_other_tokens(data / "features.zarr", other / "features.zarr")
    pair = [trained_side(folder / "sae", folder / "features.zarr", correlation, dendrogram) for folder in (data, other)]
    found = {"cuts": cuts, "trained": compare_sides(*pair, cuts, seed=0)}
    if (data / "activations.zarr").exists():
        store = ActivationStore.open(data / "activations.zarr")
        null = [random_side(store, data / "sae", seed, correlation, dendrogram) for seed in (0, 1)]
        found["random"] = compare_sides(*null, cuts, seed=0)
    return found


def compare_sides(one: Side, two: Side, cuts: list[float], seed: int) -> dict[str, Any]:
    """``{"features": {...}, "trees": {...}, "trees_null": {...}, "levels": [{"groups": {...}, "random": {...}}]}``.

    The null of trees is the second one with its leaves shuffled, that of groups random ones as large and as busy in
    both dictionaries, matched in the same way. ``cuts`` are correlations, the coarsest first.
    """
    crossing = cross(one, two)
    return {
        "features": feature_stability(crossing),
        **_trees(crossing, cuts, seed),
        "levels": [_level(crossing, cut, seed) for cut in cuts],
    }


def feature_stability(crossing: Crossing) -> dict[str, float]:
    """Means over the matched latents; ``pw_mcc`` as Song et al. (2025): Hungarian match by decoder, mean |cosine|."""
    by_code = crossing.cosine[crossing.by_code.pairs[:, 0], crossing.by_code.pairs[:, 1]]
    by_decoder = crossing.by_decoder.pairs.tolist()
    return {
        "pw_mcc": float(crossing.by_decoder.score.mean()),
        "share_unstable": float((crossing.by_decoder.score < UNSTABLE).mean()),
        "code_correlation": float(crossing.by_code.score.mean()),
        "cosine_by_code": float(by_code.mean()),
        "same_partner": float(np.mean([crossing.partner_of.get(i) == j for i, j in by_decoder])),
    }


def _trees(crossing: Crossing, cuts: list[float], seed: int) -> dict[str, Any]:
    rows = common_rows(crossing.one.tree, crossing.two.tree, crossing.by_code.pairs, seed)
    if rows is None:
        return {}
    shuffled = rows[1].shuffled(np.random.default_rng(seed))
    found, null = compare(*rows, cuts, seed), compare(rows[0], shuffled, cuts, seed)
    return {
        "trees": {"latents": len(rows[0].item), **found.named(), "bk_curve": found.bk},
        "trees_null": {**null.named(), "bk_curve": null.bk},
    }


def _level(crossing: Crossing, cut: float, seed: int) -> dict[str, Any]:
    real = [_several(part.tree.cut(cut)) for part in (crossing.one, crossing.two)]
    if not all(real):
        return {"correlation": cut}
    random = [stand_ins(crossing.one, real[0], seed), stand_ins(crossing.two, real[1], seed + 1)]
    found, null = (group_stability(crossing, *groups, seed)._asdict() for groups in (real, random))
    return {"correlation": cut, "groups": found, "random": null}


def _several(groups: Groups) -> Groups:
    return [group for group in groups if len(group) > 1]
