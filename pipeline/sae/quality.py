"""What a finished dictionary does on stored activations, by its inference rule."""

from collections.abc import Iterable

import torch

from pipeline.sae.dictionary import Dictionary


@torch.no_grad()
def measure(dictionary: Dictionary, blocks: Iterable[torch.Tensor], mean_d: torch.Tensor) -> dict[str, float]:
    """Explained variance, L0 and dead share over blocks of raw activations [n, d].

    explained_variance = 1 - sum ||x - x^||^2 / sum ||x - mean||^2;  l0 = mean active latents per row;
    dead_share = share of latents that fire on none of the rows;  all sums in float64.
    """
    error = variance = active = rows = 0.0
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool, device=dictionary.b_dec.device)
    mean_d = mean_d.to(dictionary.b_dec)
    for acts_nd in blocks:
        acts_nd = acts_nd.to(dictionary.b_dec.device)
        codes = dictionary.encode(acts_nd)
        error += float((dictionary.decode(codes) - acts_nd).double().square().sum())
        variance += float((acts_nd - mean_d).double().square().sum())
        active += float((codes > 0).sum())
        fired |= (codes > 0).any(0)
        rows += len(acts_nd)
    return {
        "explained_variance": 1 - error / variance,
        "l0": active / rows,
        "dead_share": 1 - float(fired.double().mean()),
        "rows": int(rows),
    }
