"""A dictionary made ready for comparison: a trained one from its folders, or the null that has learnt nothing.

The null has random directions on the same store, and is as sparse as the trained one that it stands beside.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from pipeline.activations.store import ActivationStore
from pipeline.agreement.crossing import Side, moments_of, side
from pipeline.codes.encoding import encode_store
from pipeline.codes.store import CodesStore
from pipeline.core.errors import PipelineError
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.tree.correlation import computing, correlate, plan_for
from pipeline.tree.dendrogram import build_tree
from pipeline.tree.settings import CorrelationSettings, DendrogramSettings
from pipeline.tree.units import Source

MEMORY_MIB = 2048  # for sums and codes of a correlation
SAMPLE = 4096  # rows of the store on which a random dictionary is made as sparse as a trained one


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


def trained_side(sae: Path, codes: Path, correlation: CorrelationSettings, dendrogram: DendrogramSettings) -> Side:
    """A trained dictionary with the codes that ``encode_features`` wrote; its tree is built anew."""
    return _side(load_dictionary(sae).W_dec.numpy(), codes, correlation, dendrogram)


def stand_in(store: ActivationStore, sae: Path, seed: int) -> Dictionary:
    """A dictionary of random directions, on the store as sparse as that in ``sae``."""
    return random_twin(load_dictionary(sae), store.rows(0, min(SAMPLE, store.n_tokens)), seed)


def random_side(
    store: ActivationStore, sae: Path, seed: int, correlation: CorrelationSettings, dendrogram: DendrogramSettings
) -> Side:
    """A dictionary of random directions as sparse as that in ``sae``; its codes are thrown away afterwards."""
    twin = stand_in(store, sae, seed)
    with tempfile.TemporaryDirectory() as folder:
        encode_store(store, twin, Path(folder), {})
        return _side(twin.W_dec.numpy(), Path(folder), correlation, dendrogram)


def refuse_other_tokens(one: Path, two: Path) -> None:
    """Codes compare only over the same tokens in the same order."""
    stores = [CodesStore.open(path) for path in (one, two)]
    same = stores[0].n_tokens == stores[1].n_tokens and all(
        np.array_equal(*(getattr(store.all(), name) for store in stores)) for name in ("token_id", "doc_id", "pos")
    )
    if not same:
        raise PipelineError(f"{one} and {two} hold codes of different tokens; compare dictionaries of one store")


def _side(
    decoder_sd: np.ndarray, codes: Path, correlation: CorrelationSettings, dendrogram: DendrogramSettings
) -> Side:
    by_document = dendrogram.scale == "document"
    source = Source(codes, dendrogram.scale, correlation.window if by_document else None)
    similarity = correlation.document_similarity if by_document else correlation.token_similarity
    with computing("threads", 1, MEMORY_MIB) as hands:
        plan = plan_for(source, MEMORY_MIB, hands)
        found = correlate(source, similarity, None, correlation.alpha, plan)
    tree = build_tree(found, dendrogram.min_firings, dendrogram.linkage)
    return side(decoder_sd, moments_of(CodesStore.open(codes).all()), tree)
