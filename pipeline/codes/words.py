"""What latents are about: the words that name them and their groups, and the passages where they are most active.

A name is the words on whose tokens a latent or group is active more than the rest is.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pipeline.codes.store import CodesStore, SparseCodes
from pipeline.language_model.token_text import TokenText

WORDS = 6  # that name a latent or group, the most telling first
MOST_ENTRIES = 1 << 24  # nonzero codes read; beyond that, evenly spaced stripes of the store
STRIPES = 64
PRIOR_COUNTS = 500.0  # of the Dirichlet prior, shared out by the words' overall frequency


class Words(NamedTuple):
    """The word that each token is a piece of."""

    word_n: np.ndarray  # int64 [n]
    text: list[str]


def sample(codes: CodesStore, most: int = MOST_ENTRIES) -> SparseCodes:
    """All codes, or stripes from all over the store with about ``most`` entries."""
    if codes.nnz <= most:
        return codes.all()
    length = int(codes.n_tokens * most / codes.nnz / STRIPES)
    starts = np.linspace(0, codes.n_tokens - length, STRIPES).astype(np.int64)
    parts = [codes.rows(int(start), int(start) + length) for start in starts]
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in SparseCodes._fields[1:7]]
    return SparseCodes(np.concatenate([[0], np.cumsum(sizes)]), *columns, codes.n_latents)


def words_of(codes: SparseCodes, tokens: TokenText) -> Words:
    """Tokens joined to words: a piece that starts with no letter or digit (a space, say) begins a new one."""
    ids, token_n = np.unique(codes.token_id, return_inverse=True)
    pieces = [tokens.piece(int(token)) for token in ids]
    begins_v = np.array([not piece[:1].isalnum() for piece in pieces], bool)
    if begins_v.all():
        return Words(token_n, [piece.strip() for piece in pieces])
    jumps = (np.diff(codes.seq_id, prepend=-1) != 0) | (np.diff(codes.pos, prepend=-2) != 1)
    starts = np.flatnonzero(begins_v[token_n] | jumps)
    number: dict[tuple[int, ...], int] = {}
    word_of_span = [
        number.setdefault(tuple(token_n[start:stop].tolist()), len(number))
        for start, stop in zip(starts, [*starts[1:], len(token_n)], strict=True)
    ]
    word_n = np.repeat(np.array(word_of_span, np.int64), np.diff([*starts, len(token_n)]))
    return Words(word_n, ["".join(pieces[piece] for piece in word).strip() for word in number])


def count_words(codes: SparseCodes, words: Words) -> sparse.csr_array:
    """On how many tokens of each word is each latent active? float64 [s, word], sparse."""
    word_k = np.repeat(words.word_n, np.diff(codes.indptr))
    ones = np.ones(len(word_k), np.float64)
    shape = (codes.n_latents, len(words.text))
    return sparse.coo_array((ones, (codes.index.astype(np.int64), word_k)), shape=shape).tocsr()


def of_groups(counts_sw: sparse.csr_array, groups: list[np.ndarray]) -> sparse.csr_array:
    """The counts of groups of latents: the sums over their members, [g, word]."""
    sizes = [len(group) for group in groups]
    members = np.concatenate([np.asarray(group, np.int64) for group in groups]) if groups else np.empty(0, np.int64)
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    indicator = sparse.csr_array((np.ones(len(members)), members, indptr), shape=(len(groups), counts_sw.shape[0]))
    return (indicator @ counts_sw).tocsr()


def top_words(counts_gw: sparse.csr_array, overall_w: np.ndarray, text: list[str], n: int) -> list[list[str]]:
    """The ``n`` words of every group that its tokens have most in excess of the rest, the most telling first."""
    found = []
    for start, stop in pairwise(counts_gw.indptr):
        word, y = counts_gw.indices[start:stop], counts_gw.data[start:stop]
        z = log_odds(y, overall_w[word], float(overall_w.sum()), float(y.sum()))
        first = np.argpartition(-z, n)[:n] if len(z) > n else np.arange(len(z))
        best = first[np.argsort(-z[first], kind="stable")]
        found.append([text[word[i]] for i in best if z[i] > 0])
    return found


def log_odds(y: np.ndarray, overall: np.ndarray, total: float, in_group: float) -> np.ndarray:
    """z-scored log-odds of words in a group against the rest (Monroe, Colaresi & Quinn 2008, eq. 16-22).

    With y the word's count in the group, r in the rest, a the prior, and Y, R, A their sums over all words:
    delta = log((y + a) / (Y + A - y - a)) - log((r + a) / (R + A - r - a))
    z = delta / sqrt(1 / (y + a) + 1 / (r + a))
    """
    a = PRIOR_COUNTS * overall / total
    rest = overall - y
    odds = (y + a) / (in_group + PRIOR_COUNTS - y - a)
    odds_rest = (rest + a) / (total - in_group + PRIOR_COUNTS - rest - a)
    return np.log(odds / odds_rest) / np.sqrt(1 / (y + a) + 1 / (rest + a))


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
