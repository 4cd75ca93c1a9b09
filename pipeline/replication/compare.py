"""Trees, groups and single features of two dictionaries side by side, each with what chance would give."""

from typing import Any

import numpy as np

from pipeline.evaluation.tree_stability import common_rows, compare
from pipeline.replication.crossing import Crossing, Side, cross
from pipeline.replication.groups import UNSTABLE, Groups, group_stability, stand_ins


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
