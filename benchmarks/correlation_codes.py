"""Synthetic codes with planted trees, for the correlation benchmark: L0 50, power-law rates, lognormal magnitudes.

60 % of the latents form trees of 21 (a root, 4 groups, 16 leaves; a child fires only with its parent, with
probability .4), the rest fire by themselves. Latent ids are shuffled. Documents are 500 tokens.
"""

from pathlib import Path

import numba
import numpy as np

from pipeline.codes.store import SparseCodes
from pipeline.codes.writer import CodesWriter

TREE, CHILD_RATE, MAX_RATE = 21, 0.4, 0.4
PER_TREE = 1 + 4 * CHILD_RATE + 16 * CHILD_RATE**2  # latents that fire when the root does


def rates(count: int, total: float, rng: np.random.Generator) -> np.ndarray:
    """Power-law firing rates of ``count`` things, at most ``MAX_RATE``, that sum to ``total``."""
    rate = 1 / rng.permutation(np.arange(1, count + 1)) ** 0.9
    for _ in range(50):
        rate = np.minimum(rate * total / rate.sum(), MAX_RATE)
    return rate


def planted_codes(n_tokens: int, n_latents: int, l0: float = 50, seed: int = 0) -> tuple[SparseCodes, np.ndarray]:
    """The codes, and the tree of every latent (int64 [s], -1 for latents in none)."""
    rng = np.random.default_rng(seed)
    n_trees = int(0.6 * n_latents) // TREE
    n_free = n_latents - TREE * n_trees
    tree_rate = rates(n_trees, 0.6 * l0 / PER_TREE, rng)
    free_rate = rates(n_free, 0.4 * l0, rng)
    latent = rng.permutation(n_latents)
    counts, tokens = _fire(n_tokens, tree_rate, free_rate, seed)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    indptr, index = _rows(n_tokens, np.argsort(latent), bounds, tokens)
    value = rng.lognormal(0, 0.5, len(index)).astype(np.float32)
    document = (np.arange(n_tokens) // 500).astype(np.int32)
    position = (np.arange(n_tokens) % 500).astype(np.int32)
    kind = np.uint16 if n_latents <= 1 << 16 else np.uint32
    tree = np.full(n_latents, -1)
    tree[latent[: TREE * n_trees]] = np.repeat(np.arange(n_trees), TREE)
    zero = np.zeros(n_tokens, np.int32)
    return SparseCodes(indptr, index.astype(kind), value, zero, document, document, position, n_latents), tree


@numba.njit(cache=True)
def _fire(n_tokens, tree_rate, free_rate, seed):
    """Firing tokens of every latent in planting order (trees of 21, then free ones), one after another."""
    np.random.seed(seed)
    n_trees = len(tree_rate)
    n_latents = TREE * n_trees + len(free_rate)
    counts = np.zeros(n_latents, np.int64)
    tokens = np.empty(1 << 20, np.int32)
    size = 0
    for thing in range(n_trees + len(free_rate)):
        rate = tree_rate[thing] if thing < n_trees else free_rate[thing - n_trees]
        hits = np.flatnonzero(np.random.random(n_tokens) < rate) if rate > 0.02 else _gaps(n_tokens, rate)
        while size + TREE * len(hits) > len(tokens):
            grown = np.empty(2 * len(tokens), np.int32)
            grown[:size] = tokens[:size]
            tokens = grown
        if thing >= n_trees:
            tokens[size : size + len(hits)] = hits
            counts[TREE * n_trees + thing - n_trees] = len(hits)
            size += len(hits)
            continue
        first = TREE * thing
        fires = np.zeros((TREE, len(hits)), np.bool_)
        fires[0] = True
        for child in range(1, TREE):
            parent = 0 if child < 5 else 1 + (child - 5) // 4
            fires[child] = fires[parent] & (np.random.random(len(hits)) < CHILD_RATE)
        for member in range(TREE):
            mine = hits[fires[member]]
            tokens[size : size + len(mine)] = mine
            counts[first + member] = len(mine)
            size += len(mine)
    return counts, tokens[:size]


@numba.njit(cache=True)
def _gaps(n_tokens, rate):
    """Bernoulli hits through their geometric gaps."""
    hits = np.empty(int(n_tokens * rate * 2) + 100, np.int64)
    at, count = np.random.geometric(rate) - 1, 0
    while at < n_tokens and count < len(hits):
        hits[count] = at
        count += 1
        at += np.random.geometric(rate)
    return hits[:count]


@numba.njit(cache=True)
def _rows(n_tokens, planted_of_latent, bounds, tokens):
    """CSR from firing lists; latents are visited in order of id, so indices ascend inside a row."""
    indptr = np.zeros(n_tokens + 1, np.int64)
    for t in tokens:
        indptr[t + 1] += 1
    indptr = np.cumsum(indptr)
    fill = indptr[:-1].copy()
    index = np.empty(len(tokens), np.int32)
    for latent in range(len(planted_of_latent)):
        planted = planted_of_latent[latent]
        for k in range(bounds[planted], bounds[planted + 1]):
            index[fill[tokens[k]]] = latent
            fill[tokens[k]] += 1
    return indptr, index


def write_codes(path: Path, codes: SparseCodes) -> None:
    """A codes store of these codes."""
    with CodesWriter(path, len(codes.doc_id), codes.n_latents, {}) as writer:
        writer.append(codes)
