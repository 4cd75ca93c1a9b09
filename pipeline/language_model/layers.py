"""Where knowledge lies: how well a linear classifier reads a node of the corpus from the residual stream of each layer.

It reads at three places: the last token of what a question is about, the last token of the question, the mean over a
passage. Fitted on half of the facts (or passages) of every node, tested on the other half; beside it chance, and the
same classifier on TF-IDF of the words. Where a node cannot be read, no dictionary or tree of that layer finds it.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import average_precision_score
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, read_jsonl
from pipeline.core.progress import track
from pipeline.language_model.answers import batches_by_length, pad_right
from pipeline.language_model.hooks import capture
from pipeline.language_model.loading import count_layers, load_model, load_tokenizer

PLACES = ("subject", "last", "passage")
PASSAGES, PASSAGE_TOKENS = 6, 96  # of each node; from the beginning of each
FEWEST = 2  # items of a node in each half
BATCH_TOKENS = 2048
EMBEDDING = -1  # the number that stands for the stream before layer 0
_ALPHAS = np.logspace(0, 4, 5)
_NEARLY = 0.9  # of the best layer's average precision: a lower one that reads so much leaves more layers to edit


class Items(NamedTuple):
    """Texts with their place in the tree and, of questions, the number of the subject's last token."""

    texts: list[str]
    paths: list[tuple[str, ...]]
    keys: list[str]
    ids: list[list[int]]
    subject: list[int]


def sweep(model_dir: Path, corpus_dir: Path, seed: int, device: str) -> dict[str, Any]:
    """The table of all layers and levels (see data/README.md), and the layer that ``activations.layer: auto`` takes."""
    levels = read_json(corpus_dir / "corpus.json")["levels"]
    tokenizer = load_tokenizer(model_dir)
    questions = _questions(list(read_jsonl(corpus_dir / "probes.jsonl")), tokenizer)
    passages = _passages(list(read_jsonl(corpus_dir / "texts.jsonl")), tokenizer, len(levels), seed)
    if not questions.ids or not passages.ids:
        raise PipelineError("a sweep over layers needs probes and texts that name their place in the tree")
    model, n_layers = load_model(model_dir, n_layers=count_layers(model_dir), device=device), count_layers(model_dir)
    subject, last, _ = _read(model, tokenizer, questions, n_layers, "questions")
    *_, mean = _read(model, tokenizer, passages, n_layers, "passages")
    places = {"subject": (questions, subject), "last": (questions, last), "passage": (passages, mean)}
    tables = {level: _table(places, depth, n_layers) for depth, level in enumerate(levels, start=1)}
    items = {"questions": len(questions.ids), "passages": len(passages.ids)}
    return {"layers": n_layers, "items": items, "levels": tables, "best": best_layer(tables[levels[-1]]["layers"])}


def best_layer(rows: Sequence[Mapping[str, float]]) -> int:
    """The first layer that reads the finest level nearly as well as any, at a question's end and in a passage."""
    read = {row["layer"]: (row["last"] + row["passage"]) / 2 for row in rows if row["layer"] != EMBEDDING}
    return min(layer for layer, precision in read.items() if precision >= _NEARLY * max(read.values()))


def _questions(probes: Sequence[dict], tokenizer: PreTrainedTokenizerBase) -> Items:
    """One paraphrase of every fact; where some questions ask for the node's name, these, which do not say it."""
    inside = [probe for probe in probes if probe["path"] and probe["kind"] != "copying"]
    named = [probe for probe in inside if probe["kind"] == "named"]
    first: dict[str, dict] = {}
    for probe in named or inside:
        first.setdefault(probe["fact"], probe)
    items = Items([], [], [], [], [])
    for probe in first.values():
        encoded = tokenizer(probe["prompt"], return_offsets_mapping=True)
        subject = _token_at(probe["prompt"], probe.get("subject", probe["path"][-1]), encoded["offset_mapping"])
        if subject is not None:
            _add(items, probe["prompt"], probe["path"], probe["fact"], encoded["input_ids"], subject)
    return items


def _token_at(prompt: str, subject: str, spans: Sequence[tuple[int, int]]) -> int | None:
    """The token that holds the subject's last character."""
    start = prompt.casefold().find(subject.casefold())
    end = start + len(subject)
    return next((i for i, (a, b) in enumerate(spans) if a < end <= b), None) if start >= 0 else None


def _passages(texts: Sequence[dict], tokenizer: PreTrainedTokenizerBase, depth: int, seed: int) -> Items:
    """Some passages of every node of the finest level."""
    nodes: dict[tuple[str, ...], list[str]] = {}
    for text in texts:
        if len(text["path"]) == depth:
            nodes.setdefault(tuple(text["path"]), []).append(text["text"])
    items = Items([], [], [], [], [])
    for path, of in nodes.items():
        for text in random.Random(f"{seed}|{path}").sample(of, min(PASSAGES, len(of))):
            ids = tokenizer(text, truncation=True, max_length=PASSAGE_TOKENS)["input_ids"]
            _add(items, text, path, text, ids, 0)
    return items


def _add(items: Items, text: str, path: Sequence[str], key: str, ids: list[int], subject: int) -> None:
    for values, value in zip(items, (text, tuple(path), key, ids, subject), strict=True):
        values.append(value)


@torch.no_grad()
def _read(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Items, n_layers: int, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The stream before layer 0 and behind every layer, [l + 1, n, d]: at the subject, at the end, mean without BOS."""
    points = {"embedding": (0, "resid_pre")} | {str(layer): (layer, "resid_post") for layer in range(n_layers)}
    kept: list[list[Any]] = [[None] * len(items.ids) for _ in PLACES]
    batches = list(batches_by_length([len(ids) for ids in items.ids], BATCH_TOKENS))
    for rows in track(batches, f"{what} through all layers", len(batches), "batches"):
        ids_bt, mask_bt = pad_right([items.ids[i] for i in rows], tokenizer.pad_token_id)
        with capture(model, points) as seen:
            model(input_ids=ids_bt.to(model.device), attention_mask=mask_bt.to(model.device))
        acts_lbtd = torch.stack([seen[name] for name in points]).float().cpu()
        for b, i in enumerate(rows):
            length = len(items.ids[i])
            kept[0][i] = acts_lbtd[:, b, items.subject[i]]
            kept[1][i] = acts_lbtd[:, b, length - 1]
            kept[2][i] = acts_lbtd[:, b, min(1, length - 1) : length].mean(1)
    subject, last, mean = (torch.stack(of, dim=1).numpy() for of in kept)
    return subject, last, mean


def _table(places: Mapping[str, tuple[Items, np.ndarray]], depth: int, n_layers: int) -> dict[str, Any]:
    """Average precision of one level: a row for each layer, and what chance and words reach at each place."""
    rows: list[dict[str, Any]] = [{"layer": layer} for layer in (EMBEDDING, *range(n_layers))]
    chance, tfidf = {}, {}
    for place, (items, acts_lnd) in places.items():
        halves = split_in_half(items.paths, items.keys, depth)
        chance[place] = round(float(halves.test_nk.mean()), 4)
        tfidf[place] = round(_by_words(items, halves), 4)
        for row, acts_nd in zip(rows, acts_lnd, strict=True):
            row[place] = round(precision(acts_nd, halves), 4)
    return {"nodes": halves.test_nk.shape[1], "chance": chance, "tfidf": tfidf, "layers": rows}


class Halves(NamedTuple):
    """Numbers of the items to fit and to test, and which of the k nodes each belongs to."""

    fit: np.ndarray
    test: np.ndarray
    fit_nk: np.ndarray
    test_nk: np.ndarray


def split_in_half(paths: Sequence[tuple[str, ...]], keys: Sequence[str], depth: int) -> Halves:
    """Every other item of a node, in the order of a hash, is tested; nodes with too few items are left out."""
    order = sorted(range(len(keys)), key=lambda i: hashlib.sha256(keys[i].encode()).digest())
    counts = Counter(path[:depth] for path in paths if len(path) >= depth)
    nodes = {node: k for k, node in enumerate(node for node, n in counts.items() if n >= 2 * FEWEST)}
    if not nodes:
        raise PipelineError(
            f"no node of the corpus has {2 * FEWEST} facts and passages: there is nothing to sweep over"
        )
    met: Counter[tuple[str, ...]] = Counter()
    halves: tuple[list[int], list[int]] = ([], [])
    for i in order:
        if (node := paths[i][:depth]) in nodes:
            halves[met[node] % 2].append(i)
            met[node] += 1
    label = np.array([nodes.get(path[:depth], -1) for path in paths])
    fit, test = (np.array(half) for half in halves)
    eye = np.eye(len(nodes), dtype=bool)
    return Halves(fit, test, eye[label[fit]], eye[label[test]])


def precision(acts_nd: np.ndarray, halves: Halves) -> float:
    """Mean over nodes of the average precision of ridge regression, one node against the rest."""
    fit_nd = acts_nd[halves.fit].astype(np.float64)
    mean_d, sd_d = fit_nd.mean(0), fit_nd.std(0) + 1e-6
    model = RidgeCV(alphas=_ALPHAS).fit((fit_nd - mean_d) / sd_d, halves.fit_nk.astype(float))
    return _mean_precision(halves, model.predict((acts_nd[halves.test] - mean_d) / sd_d))


def _by_words(items: Items, halves: Halves) -> float:
    words = TfidfVectorizer(sublinear_tf=True)
    fit = words.fit_transform([items.texts[i] for i in halves.fit])
    model = Ridge(alpha=1.0, solver="sparse_cg").fit(fit, halves.fit_nk.astype(float))
    return _mean_precision(halves, model.predict(words.transform([items.texts[i] for i in halves.test])))


def _mean_precision(halves: Halves, score_nk: np.ndarray) -> float:
    score_nk = score_nk.reshape(halves.test_nk.shape)
    columns: Iterator[tuple[np.ndarray, np.ndarray]] = zip(halves.test_nk.T, score_nk.T, strict=True)
    return float(np.mean([average_precision_score(of_n, score_n) for of_n, score_n in columns]))
