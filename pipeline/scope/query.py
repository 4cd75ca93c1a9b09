"""What is asked of a retriever, and the two ways in which a document can be like some examples."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Example = np.ndarray  # numbers of the documents that stand for one example: one document, or all of one entity
Likeness = Callable[[Sequence[Example]], np.ndarray]  # examples -> [pool]


class Query(NamedTuple):
    """Rank ``pool`` by what all ``given`` examples share and no ``contrast`` (the examples of one other node) does."""

    pool: np.ndarray
    given: list[Example]
    contrast: list[list[Example]]


def contrasted(query: Query, likeness: Likeness, weight: float) -> np.ndarray:
    """Likeness to what is given, minus ``weight`` times that to the other node it is most like, [pool]."""
    score_x = likeness(query.given)
    if query.contrast and weight:
        score_x = score_x - weight * np.max([likeness(examples) for examples in query.contrast], axis=0)
    return score_x


def shared_activity(z_xf: np.ndarray, pool: np.ndarray, examples: Sequence[Example], clip: float) -> np.ndarray:
    """``sum_f clip(z_xf) w_f`` with ``w_f = max(0, min over the examples of their mean z_f)^2``, over |w|, [pool].

    A column counts as far as every single example is high on it. Dividing by the length of w puts examples that
    share much and examples that share little on one scale.
    """
    mean_ef = np.stack([z_xf[example].mean(0) for example in examples])
    weight_f = np.square(np.maximum(0, mean_ef.min(0)))
    used = np.flatnonzero(weight_f)
    score_x = np.clip(z_xf[np.ix_(pool, used)], -clip, clip) @ weight_f[used]
    return score_x / max(float(np.linalg.norm(weight_f)), 1e-12)


def least_cosine(form_xf: np.ndarray, pool: np.ndarray, examples: Sequence[Example]) -> np.ndarray:
    """The lowest cosine to the examples' mean vectors, [pool]."""
    unit_xf = form_xf[pool] / np.maximum(np.linalg.norm(form_xf[pool], axis=1, keepdims=True), 1e-12)
    mean_ef = np.stack([form_xf[example].mean(0) for example in examples])
    mean_ef /= np.maximum(np.linalg.norm(mean_ef, axis=1, keepdims=True), 1e-12)
    return (unit_xf @ mean_ef.T).min(1)
