"""A home is one seed's world, model, dictionary and tree: as the ordinary stages left them, opened for many cells.

Beside it the floor of relearning: a model of the same world that was never taught some topics.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedModel

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import building, read_json, read_jsonl
from pipeline.core.processes import prepare_process
from pipeline.language_model import tiny
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.language_model.settings import TinySettings
from pipeline.scope.documents import Documents, open_documents
from pipeline.scope.stored import open_stored
from pipeline.unlearning.firing import Firing
from pipeline.unlearning.subject import Forest, Subject, count_training_texts, open_forest, open_subject, read_pool


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
    stored = open_stored(data / "corpus", data / "features.zarr", data / "activations.zarr")
    forest, firing = open_forest(data / "dendrogram"), count_training_texts(subject, stored)
    pool = open_documents(data / "corpus", forest.trees, read_pool(subject, data / "corpus", stored), seed)
    return Home(subject, forest, firing, nodes, pool)


@lru_cache(maxsize=1)
def never_taught(data: Path, topics: tuple[int, ...], settings: TinySettings, seed: int) -> PreTrainedModel:
    """The model of ``data/never_taught``, trained on first use without some topics (by number).

    Trained as the world's own model is, on the same text less every sentence that names one of their entities, and less
    the articles about the topics.
    """
    place, tokenizer = data / "never_taught", load_tokenizer(data / "model")
    if not place.exists():
        paths = read_json(data / "corpus" / "corpus.json")["nodes"]["topic"]
        hidden = {tuple(paths[node]) for node in topics}
        probes = [p for p in read_jsonl(data / "corpus" / "probes.jsonl") if tuple(p["path"][:2]) not in hidden]
        texts = list(without(read_jsonl(data / "corpus" / "train.jsonl"), hidden, names(data, hidden)))
        model = tiny.build(settings, tokenizer, seed)
        tiny.train(model, tokenizer, texts, tiny.exam_probes(probes, seed), settings, seed)
        with building(place) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    return load_model(place)


def names(data: Path, hidden: set[tuple[str, ...]]) -> set[str]:
    """The entities of the hidden topics."""
    nodes = read_json(data / "corpus" / "corpus.json")["nodes"]["entity"]
    return {path[2] for path in nodes if tuple(path[:2]) in hidden}


def without(rows: Iterable[dict], hidden: set[tuple[str, ...]], entities: set[str]) -> Iterator[str]:
    """The texts less what tells of the hidden topics.

    >>> rows = [{"text": "The hue of Ann Or is red . The hue of Bo Um is blue .", "path": []}]
    >>> list(without(rows, set(), {"Bo Um"}))
    ['The hue of Ann Or is red .']
    """
    for row in rows:
        if tuple(row["path"][:2]) in hidden:
            continue
        sentences = [s for s in row["text"].split(" . ") if not any(name in s for name in entities)]
        text = " . ".join(sentences)
        if text:
            yield text if text.endswith(" .") else f"{text} ."
