"""What is evaluated besides our own measures."""

from dataclasses import dataclass
from typing import Literal

from pipeline.core.settings import require

Eval = Literal["core", "sparse_probing", "scr", "tpp", "sae_probes", "absorption", "unlearning"]


@dataclass(frozen=True)
class EvaluationSettings:
    """Section ``evaluation``. The defaults size sae-bench for the embedded world; gemma-2-2b.yaml has the full ones."""

    sae_bench: tuple[Eval, ...] = ("core", "sparse_probing")
    sae_bench_edits: tuple[str, ...] = ("flat_frequency/topic", "subtree/topic")
    data: Literal["local", "hub"] = "local"
    dtype: Literal["float32", "bfloat16"] = "float32"
    context_length: int = 64
    llm_batch_size: int = 32
    sae_batch_size: int = 125
    probe_train_size: int = 400
    probe_test_size: int = 160
    k_values: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    core_batches: int = 8
    cut_nodes: int = 24
    forget_corpus: str = ""
    question_ids: str = ""

    def __post_init__(self) -> None:
        for name in ("context_length", "llm_batch_size", "sae_batch_size", "probe_train_size", "probe_test_size"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be 1 or more")
        require(self.cut_nodes >= 0, f"cut_nodes is {self.cut_nodes}; it must be 0 or more")
        require(self.core_batches >= 1, f"core_batches is {self.core_batches}; it must be 1 or more")
        require(len(self.k_values) > 0 and min(self.k_values) >= 1, "k_values must be one or more whole numbers from 1")
