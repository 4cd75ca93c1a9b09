"""Control: a dictionary of random directions in place of a trained one."""

import torch

from pipeline.sae.dictionary import Dictionary


def random_dictionary(like: Dictionary, k: int, seed: int) -> Dictionary:
    """As many unit directions as ``like`` has latents, drawn uniformly; the ``k`` that a row points along most fire.

    ``z_i = w_i . (x - b_dec)`` with the bias of ``like``, so codes are as many and of a residual's scale, and only what
    training found is gone.
    """
    generator = torch.Generator().manual_seed(seed)
    W_dec = torch.nn.functional.normalize(torch.randn(like.d_sae, like.d_model, generator=generator), dim=1)
    return Dictionary(W_dec.T, -W_dec @ like.b_dec, W_dec, like.b_dec, k=k)
