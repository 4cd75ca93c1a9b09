"""The codes, read once: where latents are active, and the words that name them and their groups."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.codes.words import count_words, of_groups, sample, top_words, words_of
from pipeline.core.files import read_jsonl
from pipeline.corpus.targets import relation
from pipeline.language_model.token_text import TokenText
from pipeline.report.evidence import Evidence

RELATIONS = ("forget", "sibling", "other", "general")
SHOWN_GROUPS = 24  # that an edit acts on, the largest first; the edit has them all
GENERAL = 8  # latents that are shown as the more general case of others


class Activity(NamedTuple):
    """Summed activation [class, s]; additive over latents, so a group's is the sum of its members'."""

    of_target: dict[str, np.ndarray]  # level -> [4, s], in the order of RELATIONS
    of_place: np.ndarray  # [place, s]
    places: list[str]  # nodes of the coarsest level, then those of the next, ...
    depth: np.ndarray  # of every place, 1 the coarsest


class Reading:
    """Codes, the tokens that they are of, and what is read off both."""

    def __init__(
        self, codes: SparseCodes, tokens: TokenText, documents: Sequence[dict], targets: Mapping[str, Sequence[str]]
    ) -> None:
        self.codes, self.tokens = codes, tokens
        self.activity = activity(codes, documents, targets)
        words = words_of(codes, tokens)
        self._text, self.counts_sw = words.text, count_words(codes, words)

    @cached_property
    def _overall_w(self) -> np.ndarray:
        return self.counts_sw.sum(0)

    def words(self, groups: Sequence[np.ndarray] | None, n: int) -> list[list[str]]:
        """The ``n`` most telling words of every group of latents; of every single latent where there are no groups."""
        counts = self.counts_sw if groups is None else of_groups(self.counts_sw, list(groups))
        return top_words(counts, self._overall_w, self._text, n)


def read_codes(features: Path, model: Path, corpus: Path, targets: Mapping[str, Sequence[str]]) -> Reading:
    """Read the codes (of a large store, a sample) with the documents that they come from."""
    documents = list(read_jsonl(corpus / "train.jsonl"))
    return Reading(sample(CodesStore.open(features)), TokenText.open(model), documents, targets)


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


# --- groups and latents with the words that they stand for -----------------------------------------------------------


class ChosenGroup(NamedTuple):
    """A group of latents that ``subtree`` clamps for one target."""

    level: str
    latents: list[int]
    words: list[str]


class GeneralLatent(NamedTuple):
    """A latent that others imply: where they fire it mostly does, and it fires elsewhere too."""

    latent: int
    words: list[str]
    edges: list[dict]  # of parents.json: child, parent, phi, loevinger


class Named(NamedTuple):
    """What the page names by words, beside the nodes of the tree."""

    chosen: list[ChosenGroup]
    general: list[GeneralLatent]


def named(evidence: Evidence, reading: Reading, most_groups: int, n_words: int) -> Named:
    """The largest groups that ``subtree`` clamps on every level, and the latents that most others imply."""
    groups = [(level, sorted(group)) for level, of in evidence.clamped().items() for group in of[:most_groups]]
    labels = reading.words([np.array(latents) for _, latents in groups], n_words)
    chosen = [ChosenGroup(level, latents, words) for (level, latents), words in zip(groups, labels, strict=True)]
    edges: dict[int, list[dict]] = {}
    for edge in evidence.parents:
        edges.setdefault(edge["parent"], []).append(edge)
    parents = sorted(edges, key=lambda latent: (-len(edges[latent]), latent))[:GENERAL]
    labels = reading.words([np.array([latent]) for latent in parents], n_words)
    general = [GeneralLatent(latent, words, edges[latent]) for latent, words in zip(parents, labels, strict=True)]
    return Named(chosen, general)
