"""A dictionary made ready for comparison: from its folders, or with random directions on the same store."""

import tempfile
from pathlib import Path

import numpy as np

from pipeline.activations.codes import CodesStore
from pipeline.activations.encoding import encode_store
from pipeline.activations.store import ActivationStore
from pipeline.errors import PipelineError
from pipeline.evaluation.crossing import Side, side
from pipeline.evaluation.feature_match import moments_of
from pipeline.evaluation.random_dictionary import random_twin
from pipeline.hierarchy.correlation import computing, correlate, plan_for
from pipeline.hierarchy.dendrogram import build_tree
from pipeline.hierarchy.source import Source
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.settings.correlation import CorrelationSettings
from pipeline.settings.dendrogram import DendrogramSettings

SAMPLE = 4096  # rows of the store on which a random dictionary is made as sparse as a trained one


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
    with computing("threads", 1, correlation.memory_mib) as hands:
        plan = plan_for(source, correlation.memory_mib, hands)
        found = correlate(source, similarity, None, correlation.alpha, plan)
    tree = build_tree(found, dendrogram.min_firings, dendrogram.linkage)
    return side(decoder_sd, moments_of(CodesStore.open(codes).all()), tree)
