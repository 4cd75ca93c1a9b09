"""What the model and its dictionary make of a document: one pass over the layers up to the hook."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.language_model.answers import batches_by_length, pad_right
from pipeline.language_model.hooks import capture
from pipeline.progress import track
from pipeline.sae.dictionary import Dictionary


class Reading(NamedTuple):
    """Per document (x), over its tokens without ``<bos>``."""

    codes_xs: sparse.csr_array  # log(1 + sum of the latent's codes), float32: a document as the document tree saw it
    resid_xd: np.ndarray  # mean residual, float32


@torch.no_grad()
def read(
    texts: Sequence[str],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dictionary: Dictionary,
    layer: int,
    context_length: int,
    batch_tokens: int = 8192,
) -> Reading:
    """Read each text's first ``context_length`` tokens at ``resid_post`` of ``layer``."""
    ids = [tokenizer(text, truncation=True, max_length=context_length)["input_ids"] for text in texts]
    resid_xd = np.zeros((len(ids), dictionary.d_model), np.float32)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    batches = list(batches_by_length(list(map(len, ids)), batch_tokens))
    for batch in track(batches, "reading documents", len(batches), "batches"):
        ids_bt, mask_bt = pad_right([ids[x] for x in batch], tokenizer.pad_token_id)
        with capture(model, {"resid": (layer, "resid_post")}) as seen:
            model(input_ids=ids_bt.to(model.device), attention_mask=mask_bt.to(model.device))
        inside_bt = (mask_bt.bool() & (ids_bt != tokenizer.bos_token_id)).to(model.device)[..., None]
        resid_btd = torch.where(inside_bt, seen["resid"].float(), 0.0)
        resid_xd[batch] = (resid_btd.sum(1) / inside_bt.sum(1).clamp(min=1)).cpu().numpy()
        sums_bs = torch.where(inside_bt, dictionary.encode(resid_btd), 0.0).sum(1).cpu().numpy()
        row, latent = sums_bs.nonzero()
        found.append((np.array(batch)[row], latent, np.log1p(sums_bs[row, latent])))
    document, latent, value = (np.concatenate(column) for column in zip(*found, strict=True))
    return Reading(sparse.csr_array((value, (document, latent)), (len(ids), dictionary.d_sae)), resid_xd)
