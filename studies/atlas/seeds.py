"""The same with other dictionaries: trained on the run's store as the run's own was, from other seeds.

Trees and rankings are made of each anew (that of passages freed of components; the run's own two trees are of its own
dictionary). A row holds the means over classes and over the countries that chose nothing, and paired differences with
intervals.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pipeline.activations.store import ActivationStore
from pipeline.core.processes import MachineSettings
from pipeline.core.progress import track
from pipeline.core.settings import read_section
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.settings import SAESettings
from studies.atlas.dictionaries import by_this_project
from studies.atlas.finding import finding_rows
from studies.atlas.passages import Passages, read_passages
from studies.atlas.tables import PAIRS, QUESTIONS, chosen, difference
from studies.atlas.trees import COMPONENTS, freed_tree, rows_of
from studies.markdown import grouped

SEEDS = 0, 1, 2  # added to the run's; the first is the run's own dictionary


def seed_rows(data: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A row for every dictionary."""
    settings = read_section(data / "params.yaml", SAESettings, "sae")
    machine = read_section(data / "params.yaml", MachineSettings, "machine")
    store, of_run = ActivationStore.open(data / "activations.zarr"), read_passages(data)
    for more in SEEDS:
        passages = of_run
        if more:
            passages = read_by(by_this_project(data, store, settings, machine, seed + more), store, of_run)
        yield {"seed": seed + more} | _nodes(passages, seed) | _found(passages, seed)


def read_by(dictionary: Dictionary, store: ActivationStore, passages: Passages) -> Passages:
    """The passages as another dictionary reads the store's rows."""
    code_xs, fires_xs = (np.zeros((len(passages.rows), dictionary.d_sae), np.float32) for _ in range(2))
    for window in track(store.windows, "reading the store again", len(store.windows), "windows"):
        document_n = store.tokens(window)["doc_id"]
        for start in range(window.rows.start, window.rows.stop, store.chunk_rows):
            stop = min(start + store.chunk_rows, window.rows.stop)
            codes_ns = sparse.csr_array(dictionary.encode(store.rows(start, stop)).numpy())
            of_n = document_n[start - window.rows.start : stop - window.rows.start]
            here, row_n = np.unique(of_n, return_inverse=True)
            ones = np.ones(len(of_n), np.float32)
            joining = sparse.csr_array((ones, (row_n, np.arange(len(of_n)))), (len(here), len(of_n)))
            code_xs[here] += (joining @ codes_ns).toarray()
            fires_xs[here] += (joining @ (codes_ns > 0).astype(np.float32)).toarray()
    return passages._replace(codes_xs=sparse.csr_array(np.log1p(code_xs)), fires_xs=sparse.csr_array(fires_xs))


def _nodes(passages: Passages, seed: int) -> dict[str, Any]:
    rows = list(rows_of(passages, {"freed": freed_tree(passages, COMPONENTS)}, seed))
    means = {
        level: {key: round(float(np.mean([row[key] for row in of])), 4) for key in ("single", "node", "shuffled")}
        for level, of in grouped(rows, "level").items()
    }
    return {"trees": means}


def _found(passages: Passages, seed: int) -> dict[str, Any]:
    by_name = grouped(finding_rows(passages, seed), "retriever")
    best = {name: {q: chosen(rows, q)[1] for q in QUESTIONS} for name, rows in by_name.items()}
    means = {name: {q: round(float(of[q].mean()), 4) for q in QUESTIONS} for name, of in best.items()}
    pairs = [[one, two, {q: difference(best[one][q], best[two][q]) for q in QUESTIONS}] for one, two in PAIRS]
    return {"finding": means, "pairs": pairs}
