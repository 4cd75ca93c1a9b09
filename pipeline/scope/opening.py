"""The table of documents from what the earlier stages wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.errors import PipelineError
from pipeline.files import read_jsonl
from pipeline.hierarchy.tree import FeatureTree
from pipeline.sae.dictionary import Dictionary
from pipeline.scope.documents import Documents
from pipeline.scope.reading import read


def open_documents(
    corpus_dir: Path,
    trees: Mapping[str, FeatureTree],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dictionary: Dictionary,
    layer: int,
    context_length: int,
    seed: int,
    examples: Sequence[str] = (),
) -> Documents:
    """Read the pool and the labelled training texts; ``layer`` is the one whose residual the dictionary knows.

    ``examples``, texts of unknown place, come last in the table.
    """
    pool = list(read_jsonl(corpus_dir / "pool.jsonl"))
    if not pool:
        raise PipelineError(f"{corpus_dir}/pool.jsonl is empty; there is nothing to complete a forget set from")
    labelled = [row for row in read_jsonl(corpus_dir / "texts.jsonl") if row["split"] == "train"]
    rows = [*pool, *labelled, *({"text": text, "path": []} for text in examples)]
    reading = read([row["text"] for row in rows], model, tokenizer, dictionary, layer, context_length)
    training = [row["text"] for row in read_jsonl(corpus_dir / "train.jsonl")]
    return Documents(rows, len(pool), reading, trees, training, seed)
