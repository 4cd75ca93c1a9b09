"""What the stores already hold of a text: passages that the dictionary was trained on are not read through the model.

A passage of a real corpus is training text and labelled text and a document of the pool at once; reading it anew would
cost as much as caching it did. A text that is not among the training text (those of the embedded world are not) has to
be read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pipeline.activations.store import ActivationStore
from pipeline.codes.store import CodesStore
from pipeline.core.files import read_jsonl
from pipeline.scope.documents import Reading

BLOCK_TOKENS = 1 << 16


class Counts(NamedTuple):
    """Per text (x) and latent (s), over the text's tokens; float64, the matrices sparse."""

    tokens_x: np.ndarray
    fires_xs: sparse.csr_array  # tokens on which the latent fires
    sums_xs: sparse.csr_array  # sum of its codes


class Stored(NamedTuple):
    """Codes and activations of the training text; ``number`` is a text's line in train.jsonl."""

    number: dict[str, int]
    codes: CodesStore
    activations: ActivationStore

    def holds(self, texts: Sequence[str]) -> bool:
        """Whether all of them are training text."""
        return all(text in self.number for text in texts)

    def counts(self, texts: Sequence[str]) -> Counts:
        """How often and how strongly each latent fires in each text."""
        row_of = self._rows(texts)
        tokens_u, fires, sums = np.zeros(row_of.max() + 1), [], []
        for start in range(0, self.codes.n_tokens, BLOCK_TOKENS):
            codes = self.codes.rows(start, min(start + BLOCK_TOKENS, self.codes.n_tokens))
            row_n = row_of[codes.doc_id]
            tokens_u += np.bincount(row_n[row_n >= 0], minlength=len(tokens_u))
            row_k = np.repeat(row_n, np.diff(codes.indptr))
            kept = row_k >= 0
            at, shape = (row_k[kept], codes.index[kept].astype(np.int64)), (len(tokens_u), codes.n_latents)
            fires.append(sparse.csr_array((np.ones(kept.sum()), at), shape))
            sums.append(sparse.csr_array((codes.value[kept].astype(np.float64), at), shape))
        each = row_of[[self.number[text] for text in texts]]  # a text may come twice
        return Counts(tokens_u[each], sum(fires[1:], fires[0])[each], sum(sums[1:], sums[0])[each])

    def reading(self, texts: Sequence[str]) -> Reading:
        """The texts as ``scope`` compares them."""
        row_of = self._rows(texts)
        sums_ud, tokens_u = np.zeros((row_of.max() + 1, self.activations.d_model)), np.zeros(row_of.max() + 1)
        for window in self.activations.windows:
            row_n = row_of[self.activations.tokens(window)["doc_id"]]
            if (row_n >= 0).any():
                inside = np.flatnonzero(row_n >= 0)
                acts_nd = self.activations.rows(window.rows.start, window.rows.stop).numpy()[inside]
                where = (np.ones(len(inside)), (row_n[inside], np.arange(len(inside))))
                sums_ud += sparse.csr_array(where, (len(tokens_u), len(inside))) @ acts_nd
                tokens_u += np.bincount(row_n[inside], minlength=len(tokens_u))
        each = row_of[[self.number[text] for text in texts]]
        resid_xd = (sums_ud / np.maximum(1, tokens_u)[:, None])[each].astype(np.float32)
        return Reading(self.counts(texts).sums_xs.log1p().astype(np.float32), resid_xd)

    def _rows(self, texts: Sequence[str]) -> np.ndarray:
        """A row for every different text, by line of the training text; -1 for the other lines."""
        row_of = np.full(max(self.number.values()) + 1, -1, np.int64)
        lines = list(dict.fromkeys(self.number[text] for text in texts))
        row_of[lines] = np.arange(len(lines))
        return row_of


def open_stored(corpus_dir: Path, codes: Path, activations: Path) -> Stored:
    """The stores of the training text, which are read when asked."""
    number = {row["text"]: line for line, row in enumerate(read_jsonl(corpus_dir / "train.jsonl"))}
    return Stored(number, CodesStore.open(codes), ActivationStore.open(activations))
