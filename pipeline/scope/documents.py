"""Pool and labelled texts in one table, with every form in which retrievers compare them.

What model and dictionary make of a document is read in one pass over the layers up to the hook.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_jsonl
from pipeline.core.progress import track
from pipeline.language_model.answers import batches_by_length, pad_right
from pipeline.language_model.hooks import capture
from pipeline.sae.dictionary import Dictionary
from pipeline.scope.settings import ScopeSettings
from pipeline.tree.feature_tree import FeatureTree


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


Form = Callable[["Documents", ScopeSettings], np.ndarray]


@dataclass(frozen=True, eq=False)
class Documents:
    """The rows of the pool, then those of the labelled texts; a document (x) is known by its number in this table.

    The pool's own ``path`` is for scoring and for the oracle; no other retriever looks at it. ``training`` is the
    ordinary text that the trees were built from.
    """

    rows: list[dict]
    n_pool: int
    reading: Reading
    trees: Mapping[str, FeatureTree]  # by scale
    training: Sequence[str]
    seed: int  # of the shuffled tree
    _made: dict[tuple[Form, ScopeSettings], np.ndarray] = field(default_factory=dict)

    def form(self, make: Form, settings: ScopeSettings) -> np.ndarray:
        """``make(self, settings)``, [x, features], made once."""
        if (make, settings) not in self._made:
            self._made[make, settings] = make(self, settings)
        return self._made[make, settings]

    @cached_property
    def paths(self) -> list[tuple[str, ...]]:
        return [tuple(row["path"]) for row in self.rows]

    def labelled(self, path: Sequence[str]) -> np.ndarray:
        """The labelled texts on exactly this node."""
        return np.array([x for x in range(self.n_pool, len(self.rows)) if self.paths[x] == tuple(path)], np.int64)

    def one(self, x: int) -> np.ndarray:
        """A single document as an example."""
        return np.array([x], np.int64)

    def pool(self, without: Sequence[str] = ()) -> np.ndarray:
        """The pool's documents in which none of these names occurs."""
        return np.array(
            [x for x in range(self.n_pool) if not any(name in self.rows[x]["text"] for name in without)], np.int64
        )

    @cached_property
    def word_counts(self) -> "WordCounts":
        """Counts over the vocabulary of the training text, and that text's own TF-IDF."""
        vectorizer = CountVectorizer()
        training_tv = vectorizer.fit_transform(self.training)
        tfidf = TfidfTransformer().fit(training_tv)
        documents_xv = vectorizer.transform([row["text"] for row in self.rows])
        return WordCounts(vectorizer.get_feature_names_out(), training_tv, tfidf.transform(documents_xv))


@dataclass(frozen=True)
class WordCounts:
    """Words (v) of the training text's documents (t), and the TF-IDF of the table's documents (x)."""

    vocabulary: np.ndarray  # str [v]
    training_tv: sparse.csr_matrix
    tfidf_xv: sparse.csr_matrix


def standardised(documents: Documents, form_xf: np.ndarray, clip: float) -> np.ndarray:
    """z-scores of each column with the pool's mean and deviation, at most ``clip`` either way, float32.

    A column that the pool does not vary in is 0.
    """
    pool_xf = form_xf[: documents.n_pool]
    spread_f = pool_xf.std(0)
    z_xf = (form_xf - pool_xf.mean(0)) / np.where(spread_f > 1e-9, spread_f, np.inf)
    return np.clip(z_xf, -clip, clip).astype(np.float32)


def corpus_rows(corpus_dir: Path) -> tuple[list[dict], list[dict]]:
    """The pool's rows, and those of the labelled training texts: the table is one after the other."""
    texts = read_jsonl(corpus_dir / "texts.jsonl")
    return list(read_jsonl(corpus_dir / "pool.jsonl")), [row for row in texts if row["split"] == "train"]


def open_documents(
    corpus_dir: Path,
    trees: Mapping[str, FeatureTree],
    reading: Reading,
    seed: int,
    examples: Sequence[str] = (),
    of_examples: Reading | None = None,
) -> Documents:
    """The pool and the labelled training texts with what a model has read there.

    ``examples``, texts of unknown place, come last in the table, with a reading of their own.
    """
    pool, labelled = corpus_rows(corpus_dir)
    if not pool:
        raise PipelineError(f"{corpus_dir}/pool.jsonl is empty; there is nothing to complete a forget set from")
    if len(reading.resid_xd) != len(pool) + len(labelled):
        raise PipelineError(
            f"{len(reading.resid_xd):,} documents were read, but {corpus_dir} has {len(pool) + len(labelled):,}; run "
            "`uv run dvc repro unlearn`"
        )
    rows = [*pool, *labelled, *({"text": text, "path": []} for text in examples)]
    training = [row["text"] for row in read_jsonl(corpus_dir / "train.jsonl")]
    reading = reading if of_examples is None else _joined(reading, of_examples)
    return Documents(rows, len(pool), reading, trees, training, seed)


def _joined(first: Reading, second: Reading) -> Reading:
    codes_xs = sparse.csr_array(sparse.vstack([first.codes_xs, second.codes_xs]))
    return Reading(codes_xs, np.concatenate([first.resid_xd, second.resid_xd]))


def save_reading(file: Path, reading: Reading) -> None:
    """Keep it as one NumPy archive."""
    codes_xs = reading.codes_xs
    parts = {"data": codes_xs.data, "indices": codes_xs.indices, "indptr": codes_xs.indptr}
    np.savez(file, resid_xd=reading.resid_xd, n_latents=codes_xs.shape[1], **parts)


def load_reading(file: Path) -> Reading:
    """What ``save_reading`` kept."""
    if not file.exists():
        raise PipelineError(f"{file} is missing; run `uv run dvc repro unlearn`")
    with np.load(file) as kept:
        shape = (len(kept["resid_xd"]), int(kept["n_latents"]))
        codes_xs = sparse.csr_array((kept["data"], kept["indices"], kept["indptr"]), shape)
        return Reading(codes_xs, kept["resid_xd"])
