"""The embedded world as corpus files: training text, labelled texts, probes, labelled sentences."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from pipeline.core.files import write_json, write_jsonl
from pipeline.corpus.settings import WorldSettings
from pipeline.corpus.world.documents import Document, Writer
from pipeline.corpus.world.knowledge import LEVELS, World, make_world
from pipeline.corpus.world.probes import TEMPLATES, assign, fact_probes, general_probes, sentence

# Labelled documents an entity or topic gets in each split, and general ones in all.
_LABELLED = {"train": 4, "dev": 1, "test": 1}
_GENERAL = {"train": 160, "dev": 60, "test": 120}
# Every draw of documents has a number of its own, so that no two of them share a random stream.
_DRAW = {"training": 0, "train": 1, "dev": 2, "test": 3, "pool": 4}
GENERAL_SHARE = 0.35  # of the training documents: they have nothing to do with the knowledge base
# Notes on each entity, and general documents, in the pool.
_NOTES, _POOL_GENERAL = 4, 300


def write_world(settings: WorldSettings, seed: int, folder: Path) -> dict:
    """Write the files of data/corpus (see data/README.md); returns the content of ``corpus.json``."""
    world = make_world(settings, seed)
    corpus = {
        "levels": list(LEVELS),
        "nodes": {level: [list(path) for path in paths] for level, paths in world.nodes().items()},
        "source": {"kind": "world", "seed": seed},
    }
    labelled = _labelled_entities(world, settings.labelled_share)
    probes = [
        probe for probe in fact_probes(world, seed) if probe["split"] != "train" or tuple(probe["path"]) in labelled
    ]
    corpus["counts"] = {
        "training_documents": write_jsonl(folder / "train.jsonl", _training(world, settings, seed)),
        "texts": write_jsonl(folder / "texts.jsonl", _texts(world, labelled, seed)),
        "pool": write_jsonl(folder / "pool.jsonl", _pool(world, seed)),
        "probes": write_jsonl(folder / "probes.jsonl", [*probes, *general_probes(seed)]),
        "probing_sentences": write_jsonl(folder / "probing.jsonl", _probing(world, seed)),
        "facts": len(world.facts),
    }
    write_json(folder / "corpus.json", corpus)
    return corpus


def _labelled_entities(world: World, share: float) -> set[tuple[str, str, str]]:
    """The first entities of every topic, as many as the share allows, at least one."""
    return {path for members in world.topics().values() for path in members[: max(1, round(share * len(members)))]}


def _training(world: World, settings: WorldSettings, seed: int) -> Iterator[dict]:
    """Documents until there are ``training_tokens`` (words, marks and the leading ``<bos>``)."""
    tokens = 0
    for document in Writer(world, seed, _DRAW["training"]).any(GENERAL_SHARE):
        if tokens >= settings.training_tokens:
            return
        tokens += len(document.text.split()) + 1
        yield _row(document)


def _texts(world: World, labelled: set[tuple[str, str, str]], seed: int) -> Iterator[dict]:
    """Fresh profiles and topic articles with their labels, and general text, for every split."""
    for split, times in _LABELLED.items():
        writer = Writer(world, seed, _DRAW[split])
        for path in world.entities():
            if split != "train" or path in labelled:
                yield from (_row(writer.profile(path), split) for _ in range(times))
        for topic, members in world.topics().items():
            if split != "train" or labelled.issuperset(members):
                yield from (_row(writer.topic_article(topic), split) for _ in range(times))
        yield from (_row(writer.general(), split) for _ in range(_GENERAL[split]))


def _pool(world: World, seed: int) -> list[dict]:
    """Notes on every entity among general documents, in random order: what a few examples are completed from."""
    writer = Writer(world, seed, _DRAW["pool"])
    notes = [writer.note(path) for path in world.entities() for _ in range(_NOTES)]
    documents = notes + [writer.general() for _ in range(_POOL_GENERAL)]
    return [_row(document) for document in random.Random(seed).sample(documents, len(documents))]


def _row(document: Document, split: str | None = None) -> dict:
    row = {"text": document.text, "path": list(document.path), "kind": document.kind}
    return row | {"split": split} if split else row


def _probing(world: World, seed: int, per_class: int = 200) -> Iterator[dict]:
    """Single sentences to classify: by domain, by topic within the first domain, and by what is being told.

    The sentences of ``world_domain`` are also labelled by what they name first (``world_order``), which has nothing to
    do with the domain: two attributes of the same texts are what spurious correlation removal needs. Test sentences
    use templates that the fact was never told in.
    """
    rng = random.Random(seed)
    rows: dict[tuple[str, str, str], list[str]] = {}
    first = world.facts[0].path[0]
    for fact in world.facts:
        chosen = assign(fact, seed)
        for split, numbers in (("train", chosen.train), ("test", chosen.test)):
            told = [sentence(fact, TEMPLATES[i]) for i in numbers]
            rows.setdefault(("world_domain", fact.path[0], split), []).extend(told)
            if fact.path[0] == first:
                rows.setdefault(("world_topic", fact.path[1], split), []).extend(told)
            rows.setdefault(("world_kind", "fact", split), []).extend(told)
    for split in ("train", "test"):
        writer = Writer(world, seed, _DRAW[split])
        for document in islice(iter(writer.general, None), 4 * per_class):
            rows.setdefault(("world_kind", document.kind, split), []).append(document.text)
    entities = tuple(path[-1] for path in world.entities())
    for (dataset, label, split), texts in rows.items():
        for text in rng.sample(texts, min(per_class, len(texts))):
            yield {"dataset": dataset, "label": label, "text": text, "split": split}
            if dataset == "world_domain":
                order = "entity_first" if entity_first(text, entities) else "relation_first"
                yield {"dataset": "world_order", "label": order, "text": text, "split": split}


def entity_first(text: str, entities: Sequence[str]) -> bool:
    """Whether a sentence about one of the entities names it before the relation.

    >>> entity_first("For Ann Or the hue is red .", ["Ann Or"]), entity_first("The hue of Ann Or is red .", ["Ann Or"])
    (True, False)
    """
    return any(text.startswith((name, f"For {name}", f"It is known that {name}")) for name in entities)
