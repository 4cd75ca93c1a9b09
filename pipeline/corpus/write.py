"""The corpus files that every later stage reads, made from the sources of section ``corpus``."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_jsonl
from pipeline.core.progress import track
from pipeline.corpus.cells import origin
from pipeline.corpus.documents import Document, Split, documents, split_rows
from pipeline.corpus.questions import Question, questions
from pipeline.corpus.rows import file_path, read_source
from pipeline.corpus.settings import CorpusSettings, Source

NodePath = tuple[str, ...]
# sae-bench trains a probe for every label and k; more labels than these cost minutes and say no more.
N_LABELS = 8
N_POOL = 2000  # training documents that serve as the unlabelled pool


def write_corpus(settings: CorpusSettings, seed: int, folder: Path) -> dict[str, Any]:
    """Write train, texts, probes and probing as JSON lines, and ``corpus.json``, whose content is returned.

    A row that several sources share has one split everywhere, and so have rows of the same text or prompt. Training
    text has no split: the model and the dictionary learn from it, the questions' facts among it. Everything is held in
    memory, about 5 GB for a billion tokens.
    """
    texts = [text for source in settings.texts for text in _some(_documents(source, settings.folder), source)]
    probes = [q for source in settings.probes for q in _some(_questions(source, settings.folder, seed), source)]
    splits = split_rows((*texts, *probes), seed)
    nodes = nodes_by_level(settings.levels, [item.path for item in (*texts, *probes)])
    training = _training_rows(settings, seed)
    counts = {
        "training_documents": write_jsonl(folder / "train.jsonl", training),
        "pool": write_jsonl(folder / "pool.jsonl", training[:N_POOL]),
        "texts": write_jsonl(folder / "texts.jsonl", [_text_row(text, splits) for text in texts]),
        "probes": write_jsonl(folder / "probes.jsonl", [_probe_row(i, q, splits) for i, q in enumerate(probes)]),
        "probing_sentences": write_jsonl(folder / "probing.jsonl", list(_probing_rows(settings.levels, texts, splits))),
    }
    corpus = {
        "levels": list(settings.levels),
        "nodes": nodes,
        "source": {"kind": "files", "seed": seed, "sources": _provenance(settings)},
        "counts": counts
        | {f"texts_{split}": n for split, n in _per_split(texts, splits).items()}
        | {f"probes_{split}": n for split, n in _per_split(probes, splits).items()},
    }
    write_json(folder / "corpus.json", corpus)
    return corpus


def nodes_by_level(levels: Sequence[str], paths: Iterable[NodePath]) -> dict[str, list[list[str]]]:
    """Level -> the nodes at that depth, each as its path from the top, in order of first appearance."""
    paths = list(paths)
    prefixes = [dict.fromkeys(path[: d + 1] for path in paths if len(path) > d) for d in range(len(levels))]
    return {level: [list(prefix) for prefix in found] for level, found in zip(levels, prefixes, strict=True)}


def _documents(source: Any, folder: str) -> Iterator[Document]:
    return documents(_rows(source, folder), source)


def _questions(source: Any, folder: str, seed: int) -> list[Question]:
    return questions(_rows(source, folder), source, seed)


def _rows(source: Source, folder: str) -> Iterator[Mapping[str, Any]]:
    rows = read_source(source, folder)
    return iter(track(rows, f"reading {origin(source)}", source.documents, "rows") if source.documents else rows)


def _some(items: Iterable[Any], source: Source) -> Iterator[Any]:
    """The items of a source, which must be at least one."""
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise PipelineError(f"{origin(source)} holds no row that can be used; check its columns and `min_characters`")


def _training_rows(settings: CorpusSettings, seed: int) -> list[dict[str, Any]]:
    """In random order: stores keep the order of the text, and training should see the sources mixed throughout."""
    rows = [
        {"text": document.text, "path": list(document.path), "kind": document.kind}
        for source in settings.training_text
        for document in _some(_documents(source, settings.folder), source)
    ]
    random.Random(seed).shuffle(rows)
    return rows


def _text_row(text: Document, splits: Mapping[str, Split]) -> dict[str, Any]:
    return {"text": text.text, "path": list(text.path), "split": splits[text.key], "kind": text.kind}


def _probe_row(number: int, question: Question, splits: Mapping[str, Split]) -> dict[str, Any]:
    return {
        "id": f"q{number:05d}",
        "prompt": question.prompt,
        "answer": question.answer,
        "options": list(question.options),
        "path": list(question.path),
        "split": splits[question.key],
        "kind": question.kind,
        "fact": question.key,
    }


def _probing_rows(
    levels: Sequence[str], texts: Sequence[Document], splits: Mapping[str, Split]
) -> Iterator[dict[str, Any]]:
    """For each level, the texts of its first nodes labelled with their node; general text is a label of the coarsest.

    Dev is left out. A level with a single label is no task.
    """
    shown = [text for text in texts if splits[text.key] != "dev"]
    for depth, level in enumerate(levels, start=1):
        deep = [(text, "/".join(text.path[:depth])) for text in shown if len(text.path) >= depth]
        kept = list(dict.fromkeys(label for _, label in deep))[:N_LABELS]
        labelled = [(text, label) for text, label in deep if label in kept]
        if depth == 1:
            labelled += [(text, "general") for text in shown if not text.path]
        if len({label for _, label in labelled}) > 1:
            for text, label in labelled:
                yield {"dataset": level, "label": label, "text": text.text, "split": splits[text.key]}


def _per_split(items: Iterable[Any], splits: Mapping[str, Split]) -> dict[str, int]:
    return dict(Counter(splits[item.key] for item in items))


def _provenance(settings: CorpusSettings) -> list[dict[str, Any]]:
    """What each source was: the file's checksum, or the data set's commit."""
    uses = ("training_text", "texts", "probes")
    return [{"use": use} | _described(s, settings.folder) for use in uses for s in getattr(settings, use)]


def _described(source: Source, folder: str) -> dict[str, Any]:
    if source.file:
        digest = hashlib.sha256(file_path(source, folder).read_bytes()).hexdigest()
        return {"file": source.file, "sha256": digest, "path": list(source.path)}
    from pipeline.corpus.hub import commit

    place = {"dataset": source.dataset, "name": source.name, "split": source.split}
    return place | {"commit": commit(source), "path": list(source.path)}
