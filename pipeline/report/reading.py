"""Where latents are active: on the targets' text, their siblings', elsewhere; in which place of the corpus' tree.

The codes with what is read off them once: words, counts, where latents are active.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.codes.words import Words, count_words, sample, words_of
from pipeline.core.files import read_jsonl
from pipeline.corpus.targets import relation
from pipeline.language_model.token_text import TokenText

RELATIONS = ("forget", "sibling", "other", "general")


class Activity(NamedTuple):
    """Summed activation [class, s]; additive over latents, so a group's is the sum of its members'."""

    of_target: dict[str, np.ndarray]  # level -> [4, s], in the order of RELATIONS
    of_place: np.ndarray  # [place, s]
    places: list[str]  # nodes of the coarsest level, then those of the next, ...
    depth: np.ndarray  # of every place, 1 the coarsest


def activity(codes: SparseCodes, documents: Sequence[dict], targets: Mapping[str, Sequence[str]]) -> Activity:
    """Sum the codes by the documents' places; one that tells facts from anywhere has none and is left out."""
    kept = np.array([row["kind"] != "mixed_facts" for row in documents], bool)
    of_target = {}
    for level, target in targets.items():
        number = [RELATIONS.index(relation(row["path"], tuple(target))) for row in documents]
        of_target[level] = _sums(codes, np.where(kept, number, -1), len(RELATIONS))
    names: dict[tuple[str, ...], int] = {}
    deepest = max((len(row["path"]) for row in documents), default=0)
    for depth in range(1, deepest + 1):
        for row in documents:
            if len(row["path"]) >= depth:
                names.setdefault(tuple(row["path"][:depth]), len(names))
    of_place = np.zeros((len(names), codes.n_latents))
    for depth in range(1, deepest + 1):
        of_document = [names[tuple(row["path"][:depth])] if len(row["path"]) >= depth else -1 for row in documents]
        of_place += _sums(codes, np.array(of_document), len(names))
    depths = np.array([len(name) for name in names], np.int64)
    return Activity(of_target, of_place, [" / ".join(name) for name in names], depths)


def _sums(codes: SparseCodes, class_of_document: np.ndarray, n_classes: int) -> np.ndarray:
    """Summed codes per class and latent, float64 [class, s]; class -1 does not count."""
    class_k = np.repeat(class_of_document[codes.doc_id], np.diff(codes.indptr))
    counts = class_k >= 0
    flat = class_k[counts] * codes.n_latents + codes.index[counts].astype(np.int64)
    sums = np.bincount(flat, weights=codes.value[counts], minlength=n_classes * codes.n_latents)
    return sums.reshape(n_classes, codes.n_latents)


class Reading(NamedTuple):
    """Shared by the names of the chosen groups and the explorable tree."""

    codes: SparseCodes
    tokens: TokenText
    words: Words
    counts_sw: sparse.csr_array
    activity: Activity


def read_codes(features: Path, model: Path, corpus: Path, targets: Mapping[str, Sequence[str]]) -> Reading:
    """Read the codes (of a large store, a sample) with the documents that they come from."""
    codes, tokens = sample(CodesStore.open(features)), TokenText.open(model)
    words = words_of(codes, tokens)
    places = activity(codes, list(read_jsonl(corpus / "train.jsonl")), targets)
    return Reading(codes, tokens, words, count_words(codes, words), places)
