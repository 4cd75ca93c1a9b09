"""Cells of the headline: what ``evaluate`` says of one seed's model, dictionary, trees and retrievers, on test.

Whether a figure is a property of the method or of one world is seen over seeds alone.
"""

from pathlib import Path

from pipeline.codes.store import CodesStore
from pipeline.evaluation.hierarchy import Places, hierarchy_figures
from pipeline.evaluation.knowledge import language_model_figures, sae_figures
from pipeline.evaluation.scope import all_scope_figures
from pipeline.params import Params
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.firing import count_firing
from studies.world.homes import Home


def headline_cell(home: Home, data: Path, params: Params, seed: int) -> dict:
    """``{"means"}``: the entries of ``final_info.json`` without unlearning and sae-bench, as ``<entry>/<figure>``."""
    subject = home.subject
    bench = subject.bench(*subject.split("test", "novel"))
    before = bench.measure(no_edit("", (), subject.layer))
    rates = CodesStore.open(data / "features.zarr").rates()
    names = ("dendrogram", "correlation.zarr", "features.zarr", "sae", "corpus", "model")
    places = Places(*(data / name for name in names))
    decoder = subject.dictionary.W_dec.cpu().numpy()
    entries = {
        "language_model": language_model_figures(bench, before, data / "model", seed),
        "sae": sae_figures(bench, before, rates, seed),
        "hierarchy": hierarchy_figures(home.forest, count_firing(bench), decoder, places, seed, data / "groups.json"),
        **all_scope_figures(home.forest, data / "corpus", lambda: home.documents.reading, params.scope, seed),
    }
    return {
        "means": {f"{name}/{key}": value for name, entry in entries.items() for key, value in entry["means"].items()}
    }
