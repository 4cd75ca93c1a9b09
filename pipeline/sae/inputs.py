"""What a dictionary is trained on: the rows that are drawn, and the scale that they are brought to.

In the residual stream of a real model one dimension may hold nine tenths of the variance, and one token in a thousand
ten times the norm of the others. A dictionary that minimises the squared error of such rows spends its latents there,
and many never fire. So every dimension may be standardised, rows far beyond the median norm left out, and rows of rare
tokens drawn more often than the text has them: common words else eat the dictionary.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from pipeline.activations.store import ActivationStore
from pipeline.sae.settings import SAESettings

BLOCK_ROWS = 4096


class Inputs(NamedTuple):
    """Rows x are trained on as ``scale_d * x``, of a mean norm of about 1: the unit of every other setting."""

    mean_d: torch.Tensor  # of raw rows, [d]
    scale_d: torch.Tensor  # float64: [d], or a single number for all dimensions
    draws: "Draws | None"  # None: every row once an epoch


class Draws:
    """How often each row is served in an epoch: by chance, so that the mean over epochs is what it should be."""

    def __init__(self, expected_n: np.ndarray) -> None:
        self.expected_n = expected_n.astype(np.float32)

    def repeats(self, epoch: int, seed: int) -> np.ndarray:
        """Times that each row is served, uint8 [n]."""
        whole_n = np.floor(self.expected_n)
        more_n = np.random.default_rng([seed, epoch, len(whole_n)]).random(len(whole_n), np.float32)
        return (whole_n + (more_n < self.expected_n - whole_n)).clip(max=255).astype(np.uint8)


def inputs_of(store: ActivationStore, settings: SAESettings) -> Inputs:
    """As the settings ask; the rows are read once where every dimension gets a scale of its own."""
    kept_n, draws = np.ones(store.n_tokens, bool), None
    if settings.rarity > 0 or settings.most_norm is not None:
        about = [store.tokens(window) for window in store.windows]
        token_n, norm_n = (np.concatenate([arrays[name] for arrays in about]) for name in ("token_id", "norm"))
        if settings.most_norm is not None:
            kept_n = norm_n <= settings.most_norm * np.median(norm_n)
        draws = Draws(expected_draws(token_n, kept_n, settings.rarity))
    if settings.inputs == "mean_norm":
        return by_mean_norm(torch.as_tensor(store.mean_d), store.mean_norm)._replace(draws=draws)
    mean_d, std_d = _moments(store, kept_n)
    # A dimension that hardly varies is noise of the storage format, not a signal to be blown up.
    std_d = std_d.clamp(min=1e-3 * float(std_d.median()))
    return Inputs(mean_d, 1 / (std_d * len(std_d) ** 0.5), draws)


def by_mean_norm(mean_d: torch.Tensor, mean_norm: float) -> Inputs:
    """All dimensions divided by the rows' mean norm; every row is drawn."""
    return Inputs(mean_d, torch.tensor(1.0 / mean_norm, dtype=torch.float64), None)


def expected_draws(token_n: np.ndarray, kept_n: np.ndarray, rarity: float) -> np.ndarray:
    """``(count of the row's token)^-rarity`` of the rows that are kept, scaled to as many draws as rows; float64 [n].

    >>> expected_draws(np.array([7, 7, 7, 7, 9]), np.array([True] * 5), 1.0).tolist()
    [0.625, 0.625, 0.625, 0.625, 2.5]
    """
    _, token, count = np.unique(token_n, return_inverse=True, return_counts=True)
    weight_n = np.where(kept_n, count[token].astype(np.float64) ** -rarity, 0.0)
    return weight_n * (kept_n.sum() / weight_n.sum())


def _blocks(store: ActivationStore) -> Iterator[torch.Tensor]:
    for start in range(0, store.n_tokens, BLOCK_ROWS):
        yield store.rows(start, min(start + BLOCK_ROWS, store.n_tokens))


def _moments(store: ActivationStore, kept_n: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every dimension over the kept rows, float64 [d]."""
    origin_d = torch.as_tensor(store.mean_d)
    sum_d, square_d = torch.zeros_like(origin_d), torch.zeros_like(origin_d)
    for number, rows_nd in enumerate(_blocks(store)):
        start = number * BLOCK_ROWS
        rows_nd = rows_nd[torch.from_numpy(kept_n[start : start + len(rows_nd)])].double() - origin_d
        sum_d += rows_nd.sum(0)
        square_d += rows_nd.square().sum(0)
    n = max(1, int(kept_n.sum()))
    return origin_d + sum_d / n, (square_d / n - (sum_d / n).square()).clamp(min=0).sqrt()
