"""Passages of the corpus where a group of latents is most active."""

from typing import NamedTuple

import numpy as np

from pipeline.codes.store import SparseCodes

TOP_TOKENS = 3  # of every latent, the candidates of its groups
MOST_CANDIDATES = 60
AROUND = 9  # tokens on either side


class Context(NamedTuple):
    """Consecutive tokens: rows of the codes from ``start``, and how active the group is on each, 0 to 9."""

    start: int
    strength: np.ndarray


class Passages:
    """Finds contexts; holds the tokens on which every latent is most active."""

    def __init__(self, codes: SparseCodes) -> None:
        self._codes = codes
        row_k = np.repeat(np.arange(len(codes.token_id)), np.diff(codes.indptr))
        order = np.lexsort((-codes.value, codes.index))
        latent, first = np.unique(codes.index[order], return_index=True)
        rank = np.arange(len(order)) - np.repeat(first, np.diff([*first, len(order)]))
        top = order[rank < TOP_TOKENS]
        self._row, self._latent = row_k[top], codes.index[top]
        self._start = np.searchsorted(self._latent, np.arange(codes.n_latents + 1))
        self._largest_s = np.zeros(codes.n_latents, np.float32)
        self._largest_s[latent] = codes.value[order[first]]

    def of(self, members: np.ndarray, n: int) -> list[Context]:
        """Up to ``n`` contexts of different documents, the strongest first.

        A token's strength is the sum over members of the code over that latent's largest.
        """
        scale_s = np.zeros_like(self._largest_s)
        scale_s[members] = 1 / np.maximum(self._largest_s[members], 1e-12)
        spans = [self._row[self._start[latent] : self._start[latent + 1]] for latent in members]
        rows = np.unique(np.concatenate([np.empty(0, np.int64), *spans]))
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_CANDIDATES)).astype(np.int64)]  # from all over
        strength = self._strength(rows, scale_s)
        best: list[Context] = []
        documents: set[int] = set()
        for row in rows[np.argsort(-strength, kind="stable")]:
            document = int(self._codes.doc_id[row])
            if document not in documents:
                documents.add(document)
                best.append(self._around(int(row), scale_s))
            if len(best) == n:
                break
        return best

    def _around(self, row: int, scale_s: np.ndarray) -> Context:
        sequence = self._codes.seq_id
        start, stop = max(0, row - AROUND), min(len(sequence), row + AROUND + 1)
        inside = np.flatnonzero(sequence[start:stop] == sequence[row])
        start, stop = start + int(inside[0]), start + int(inside[-1]) + 1
        strength = self._strength(np.arange(start, stop), scale_s)
        return Context(start, np.ceil(9 * strength / max(float(strength.max()), 1e-12)).astype(np.int64))

    def _strength(self, rows: np.ndarray, scale_s: np.ndarray) -> np.ndarray:
        """Sum over latents of code times scale on each of ``rows``, float64."""
        first, count = self._codes.indptr[rows], self._codes.indptr[rows + 1] - self._codes.indptr[rows]
        entry = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
        weight = self._codes.value[entry] * scale_s[self._codes.index[entry]]
        return np.bincount(np.repeat(np.arange(len(rows)), count), weights=weight, minlength=len(rows))
