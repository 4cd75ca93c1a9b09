"""The null that has learnt nothing: a dictionary of random directions, as sparse as the one it stands beside."""

import torch

from pipeline.sae.dictionary import Dictionary


@torch.no_grad()
def random_twin(dictionary: Dictionary, acts_nd: torch.Tensor, seed: int) -> Dictionary:
    """As many latents with uniformly random unit directions, read as they are written (W_enc = W_dec^T).

    One threshold for all latents makes as many of them fire on ``acts_nd`` as of the given dictionary, on average.
    """
    directions_sd = torch.randn(dictionary.W_dec.shape, generator=torch.Generator().manual_seed(seed))
    directions_sd = torch.nn.functional.normalize(directions_sd, dim=1).to(dictionary.W_dec.device)
    acts_nd = acts_nd.to(dictionary.W_dec.device).float()
    b_enc = -(dictionary.b_dec @ directions_sd.T)
    active = float((dictionary.encode(acts_nd) > 0).float().mean())
    pre = (acts_nd @ directions_sd.T + b_enc).flatten()
    kept = max(1, round(active * len(pre)))
    threshold = pre.kthvalue(len(pre) - kept + 1).values.clamp(min=0)
    return Dictionary(directions_sd.T, b_enc, directions_sd, dictionary.b_dec, threshold.expand_as(b_enc))
