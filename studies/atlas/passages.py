"""The passages of a finished run on the atlas: where each belongs, and what dictionary, model and words make of it.

Half A fits (means, components, trees, choices), half B is tested. Halves are drawn within each country and class.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline.core.files import read_jsonl
from pipeline.scope.stored import open_stored

Place = tuple[str, ...]
CLIP = 15.0  # standard deviations


class Passages(NamedTuple):
    """Passages (x); ``codes_xs`` is log(1 + sum of the latent's codes), ``fires_xs`` the tokens on which it fires."""

    rows: list[dict]
    in_a: np.ndarray  # bool [x]
    codes_xs: sparse.csr_array
    fires_xs: sparse.csr_array
    resid_xd: np.ndarray

    def of(self, place: Place) -> np.ndarray:
        """Which passages are about a node of the atlas, bool [x]."""
        return np.array([tuple(row["path"][: len(place)]) == place for row in self.rows])

    def of_kind(self, kind: str) -> np.ndarray:
        """Which passages are of a class of articles, bool [x]."""
        return np.array([row["kind"] == kind for row in self.rows])

    def classes(self) -> dict[str, dict[str, np.ndarray]]:
        """Level -> name -> its passages: countries, regions of two countries or more, classes of articles."""
        paths = list(dict.fromkeys(tuple(row["path"]) for row in self.rows if row["path"]))
        countries = Counter(path[0] for path in paths)
        return {
            "country": {path[-1]: self.of(path) for path in paths},
            "region": {region: self.of((region,)) for region, count in countries.items() if count > 1},
            "article class": {
                kind: self.of_kind(kind) for kind in sorted({row["kind"] for row in self.rows if not row["path"]})
            },
        }


def read_passages(data: Path) -> Passages:
    """From the corpus and the stores of a run."""
    rows = list(read_jsonl(data / "corpus/train.jsonl"))
    stored = open_stored(data / "corpus", data / "features.zarr", data / "activations.zarr")
    texts = [row["text"] for row in rows]
    reading = stored.reading(texts)
    return Passages(rows, half_a(rows), reading.codes_xs, stored.counts(texts).fires_xs, reading.resid_xd)


def half_a(rows: list[dict]) -> np.ndarray:
    """Every other passage of a country or class, in the order of a hash."""
    order = sorted(range(len(rows)), key=lambda x: hashlib.sha256(rows[x]["text"].encode()).digest())
    met: Counter[tuple[str, ...]] = Counter()
    in_a = np.zeros(len(rows), bool)
    for x in order:
        place = (*rows[x]["path"], rows[x]["kind"])
        in_a[x] = met[place] % 2 == 0
        met[place] += 1
    return in_a


def standardised(form_xf: np.ndarray, in_a: np.ndarray) -> np.ndarray:
    """z-scores by the mean and deviation of half A, at most ``CLIP`` either way; a column without variance is 0."""
    spread_f = form_xf[in_a].std(0)
    return np.clip((form_xf - form_xf[in_a].mean(0)) / np.where(spread_f > 1e-9, spread_f, np.inf), -CLIP, CLIP)


def freed(z_xf: np.ndarray, in_a: np.ndarray, components: int) -> np.ndarray:
    """Without the first principal components of half A, and standardised again."""
    if not components:
        return z_xf
    centre_f = z_xf[in_a].mean(0)
    _, basis_kf = principal(z_xf[in_a] - centre_f, components)
    left_xf = z_xf - centre_f
    return standardised(left_xf - (left_xf @ basis_kf.T) @ basis_kf, in_a)


def principal(centred_xf: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest singular values and their directions [k, f], by the smaller of the two Gram matrices."""
    wide = centred_xf.shape[1] > centred_xf.shape[0]
    gram = centred_xf @ centred_xf.T if wide else centred_xf.T @ centred_xf
    value_k, vector = np.linalg.eigh(gram)
    value_k, vector = value_k[::-1][:components], vector[:, ::-1][:, :components]
    directions_kf = (centred_xf.T @ vector).T if wide else vector.T
    return np.sqrt(value_k.clip(0)), directions_kf / np.linalg.norm(directions_kf, axis=1, keepdims=True)


def tfidf(passages: Passages) -> sparse.csr_matrix:
    """TF-IDF with the document frequencies of half A, unit rows, [x, v]."""
    texts = [row["text"] for row in passages.rows]
    words = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    words.fit([text for text, a in zip(texts, passages.in_a, strict=True) if a])
    return words.transform(texts)
