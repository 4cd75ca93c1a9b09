"""The codes with what is read off them once: words, counts, where latents are active."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy import sparse

from pipeline.activations.codes import CodesStore, SparseCodes
from pipeline.evaluation.labels import Words, count_words, sample, words_of
from pipeline.files import read_jsonl
from pipeline.language_model.token_text import TokenText
from pipeline.report.activity import Activity, activity


class Reading(NamedTuple):
    """Shared by the names of the chosen groups and the explorable tree."""

    codes: SparseCodes
    tokens: TokenText
    words: Words
    counts_sw: sparse.csr_array
    activity: Activity


def read_codes(features: Path, model: Path, corpus: Path, targets: Mapping[str, Sequence[str]]) -> Reading:
    """Read the codes (of a large store, a sample) with the documents that they come from."""
    codes, tokens = sample(CodesStore.open(features)), TokenText.open(model)
    words = words_of(codes, tokens)
    places = activity(codes, list(read_jsonl(corpus / "train.jsonl")), targets)
    return Reading(codes, tokens, words, count_words(codes, words), places)
