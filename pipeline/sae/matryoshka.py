"""Matryoshka BatchTopK (Bussmann et al. 2025): nested prefixes of the latents reconstruct alone.

L = mean over prefixes m of ||x - (sum over f < m of z_f W_dec[f] + b_dec)||^2. The first latents must do without the
later ones, so they keep the general features, and a specific latent does not absorb its parent. One decode serves all
prefixes: each adds its own group of latents to the sum of those before.
"""

from pipeline.sae.batch_topk import BatchTopK


class Matryoshka(BatchTopK):
    """BatchTopK's rule over all latents; only the loss is nested."""

    def __init__(self, k: int, d_sae: int, shares: tuple[float, ...]) -> None:
        """``shares`` are the prefixes as ascending shares of ``d_sae``; the whole follows if it is not the last."""
        ends = {max(1, round(share * d_sae)) for share in shares}
        super().__init__(k, tuple(sorted(ends | {d_sae})))
