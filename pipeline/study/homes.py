"""A home is one seed's world, model, dictionary and tree: as the ordinary stages left them, opened for many cells."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pipeline.files import read_json
from pipeline.runtime import prepare_process
from pipeline.scope.documents import Documents
from pipeline.settings.activations import ActivationsSettings
from pipeline.unlearning.statistics import Firing
from pipeline.unlearning.subject import Forest, Subject, count_training_texts, open_forest, open_pool, open_subject


class Home(NamedTuple):
    """What every cell of one seed shares."""

    subject: Subject
    forest: Forest
    firing: Firing  # train texts
    nodes: dict[str, list[tuple[str, ...]]]  # level -> paths
    documents: Documents


@lru_cache(maxsize=1)
def open_home(data: Path, settings: ActivationsSettings, seed: int) -> Home:
    """Open a home; the last one stays open in the process."""
    prepare_process(threads=1)
    nodes = {
        level: [tuple(path) for path in paths]
        for level, paths in read_json(data / "corpus" / "corpus.json")["nodes"].items()
    }
    first = dict.fromkeys(nodes, 0)
    subject = open_subject(data / "model", data / "sae", data / "corpus", settings, first, "cpu")
    forest, firing = open_forest(data / "dendrogram"), count_training_texts(subject)
    pool = open_pool(subject, forest, data / "corpus", seed)
    return Home(subject, forest, firing, nodes, pool)
