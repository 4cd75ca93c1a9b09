"""Pool and labelled texts in one table, with every form in which retrievers compare them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from pipeline.hierarchy.tree import FeatureTree
from pipeline.scope.reading import Reading
from pipeline.settings.scope import ScopeSettings

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
