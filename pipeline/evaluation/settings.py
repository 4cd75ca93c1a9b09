"""What is evaluated besides our own measures."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.settings import Count, CountOrZero, Settings, shaped
from pipeline.unlearning.methods import METHODS

Eval = Literal["core", "sparse_probing", "scr", "tpp", "sae_probes", "absorption", "unlearning"]

EditName = Annotated[str, shaped(rf"({'|'.join(METHODS)})/.+", "a method and a level, such as subtree/topic")]


class EvaluationSettings(Settings):
    """Section ``evaluation``. params.yaml sizes sae-bench for the embedded world; gemma-2-2b.yaml has its own sizes."""

    sae_bench: tuple[Eval, ...]
    sae_bench_edits: tuple[EditName, ...]
    data: Literal["local", "hub"]
    dtype: Literal["float32", "bfloat16"]
    context_length: Count
    probe_train_size: Count
    probe_test_size: Count
    k_values: Annotated[tuple[Count, ...], Field(min_length=1)]
    core_batches: Count
    cut_nodes: CountOrZero
    forget_corpus: str
    question_ids: str
