"""What is asked of a retriever, and the two ways in which a document can be like some examples."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Example = np.ndarray  # numbers of the documents that stand for one example: one document, or all of one entity
Likeness = Callable[[Sequence[list[Example]]], np.ndarray]  # the examples of each of g nodes -> [pool, g]


class Query(NamedTuple):
    """Rank ``pool`` by what all ``given`` examples share and no ``contrast`` (the examples of one other node) does."""

    pool: np.ndarray
    given: list[Example]
    contrast: list[list[Example]]


def contrasted(query: Query, likeness: Likeness, weight: float) -> np.ndarray:
    """Likeness to what is given, minus ``weight`` times that to the other node it is most like, [pool]."""
    if not query.contrast or not weight:
        return likeness([query.given])[:, 0]
    like_xg = likeness([query.given, *query.contrast])
    return like_xg[:, 0] - weight * like_xg[:, 1:].max(1)


def shared_activity(z_xf: np.ndarray, pool: np.ndarray, nodes: Sequence[list[Example]], power: float) -> np.ndarray:
    """``sum_f z_xf w_f / |w|`` with ``w_f = max(0, min over a node's examples of their mean z_f)^power``, [pool, g].

    A column counts as far as every single example is high on it. Dividing by the length of w puts examples that
    share much and examples that share little on one scale.
    """
    least_gf = np.stack([np.min([z_xf[example].mean(0) for example in examples], axis=0) for examples in nodes])
    weight_gf = np.maximum(0, least_gf) ** power
    weight_gf /= np.maximum(np.linalg.norm(weight_gf, axis=1, keepdims=True), 1e-12)
    return z_xf[pool] @ weight_gf.T


def least_cosine(form_xf: np.ndarray, pool: np.ndarray, nodes: Sequence[list[Example]]) -> np.ndarray:
    """The lowest of the cosines to the mean vectors of a node's examples, [pool, g]."""
    unit_xf = _unit(form_xf[pool])
    means = [_unit(np.stack([form_xf[example].mean(0) for example in examples])) for examples in nodes]
    return np.stack([(unit_xf @ mean_ef.T).min(1) for mean_ef in means], axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
