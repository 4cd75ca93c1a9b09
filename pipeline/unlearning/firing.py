"""How often and how strongly each latent fires on text of each place in the tree."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from pipeline.corpus.targets import relations
from pipeline.unlearning.bench import Bench

RETAINED = ("sibling", "other", "general")  # relations to a target whose knowledge must stay


class Firing(NamedTuple):
    """Per text (x) and latent (s), over the text's editable tokens; [x, s] matrices are sparse."""

    texts: list[dict]
    tokens_x: np.ndarray  # editable tokens
    fires_xs: sparse.csr_array  # tokens on which the latent fires
    sums_xs: sparse.csr_array  # sum of its codes

    def rates(self, target: Sequence[str], wanted: str) -> np.ndarray:
        """Firing frequency of every latent on the texts of one relation to the target; 0 where there are none."""
        where = self.where(target, wanted)
        return self.fires_xs[where].sum(0) / max(1, self.tokens_x[where].sum())

    def means(self, target: Sequence[str], wanted: str) -> np.ndarray:
        """Mean code of every latent over all tokens of one relation, silent ones included; 0 where there are none."""
        where = self.where(target, wanted)
        return self.sums_xs[where].sum(0) / max(1, self.tokens_x[where].sum())

    def overall_means(self) -> torch.Tensor:
        """Mean code of every latent over all tokens of all texts, silent ones included; float32 [s]."""
        return torch.from_numpy(self.sums_xs.sum(0) / max(1, self.tokens_x.sum())).float()

    def tokens(self, target: Sequence[str], wanted: str) -> int:
        """Editable tokens in the texts of one relation."""
        return int(self.tokens_x[self.where(target, wanted)].sum())

    def retain_rates(self, target: Sequence[str]) -> np.ndarray:
        """The highest of a latent's rates on sibling, other and general text: what must stay needs it this much."""
        return np.max([self.rates(target, name) for name in RETAINED], axis=0)

    def scale(self, target: Sequence[str]) -> torch.Tensor:
        """Mean code of each latent where it fires on the target's text, else where it fires at all; float32 [s]."""
        where = self.where(target, "forget")
        fires, sums = self.fires_xs[where].sum(0), self.sums_xs[where].sum(0)
        anywhere = self.sums_xs.sum(0) / np.maximum(1, self.fires_xs.sum(0))
        return torch.from_numpy(np.where(fires > 0, sums / np.maximum(1, fires), anywhere)).float()

    def only(self, texts: np.ndarray) -> "Firing":
        """The statistics of some texts, by number."""
        return Firing([self.texts[x] for x in texts], self.tokens_x[texts], self.fires_xs[texts], self.sums_xs[texts])

    def where(self, target: Sequence[str], wanted: str) -> np.ndarray:
        """Numbers of the texts of one relation to the target."""
        return np.flatnonzero([name == wanted for name in relations(self.texts, target)])


@torch.no_grad()
def count_firing(bench: Bench) -> Firing:
    """Count on the texts of a bench, from its stored residuals."""
    n_texts, d_sae = len(bench.texts), bench.dictionary.d_sae
    tokens_x = np.zeros(n_texts)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for batch, resid_btd in zip(bench.reading, bench.resid[len(bench.exam) :], strict=True):
        editable_bt = bench.editable(batch)
        codes_bts = torch.where(editable_bt[..., None], bench.dictionary.encode(resid_btd.float()), 0.0)
        text_b = np.array([x for x, _ in batch.rows])
        tokens_x[text_b] = editable_bt.sum(1).cpu().numpy()
        fires_bs, sums_bs = (codes_bts > 0).sum(1).cpu().numpy(), codes_bts.sum(1).cpu().numpy()
        row, latent = fires_bs.nonzero()
        parts.append((text_b[row], latent, fires_bs[row, latent], sums_bs[row, latent]))
    text, latent, fires, sums = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = (n_texts, d_sae)
    return Firing(
        bench.texts,
        tokens_x,
        sparse.csr_array((fires.astype(np.float64), (text, latent)), shape),
        sparse.csr_array((sums.astype(np.float64), (text, latent)), shape),
    )
