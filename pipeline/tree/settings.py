"""Settings of the stages ``correlate`` and ``build_dendrogram``."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.settings import Count, Fraction, Settings

Similarity = Literal["pearson", "phi", "cosine", "jaccard", "containment", "loevinger", "loevinger_lower"]


class CorrelationSettings(Settings):
    """Section ``correlation``."""

    token_similarity: Similarity
    document_similarity: Similarity
    window: Count | None
    exact_up_to: Annotated[int, Field(ge=0)]
    floor: Annotated[float, Field(ge=0, lt=1)]
    alpha: Fraction
    dense: bool


class DendrogramSettings(Settings):
    """Section ``dendrogram``."""

    scale: Literal["token", "document"]
    linkage: Literal["average", "complete", "weighted", "ward", "single"]
    levels: Count
    threshold: Fraction
    min_firings: Count
    bootstraps: Annotated[int, Field(ge=2)]
