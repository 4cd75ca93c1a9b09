"""The model under study with everything that asks it: opened once, shared by all targets and methods."""

import json
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, read_jsonl
from pipeline.corpus.targets import Node, check_targets, choose_targets, relation, relations
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.language_model.structure import check_stream, check_upper_layers
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.scope.documents import Reading, corpus_rows, read
from pipeline.scope.stored import Stored
from pipeline.tree.feature_tree import FeatureTree, load_tree
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.case import Case, Look, draw
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.firing import Firing, count_firing
from pipeline.unlearning.settings import UnlearningSettings

TRAIN_PROBES = 1000  # of each relation (forget, sibling, other, general) to learn from


class Subject(NamedTuple):
    """Model, dictionary and corpus; ``layer`` is the one whose residual stream (``resid_post``) is edited."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    dictionary: Dictionary
    layer: int
    context_length: int
    probes: list[dict]
    texts: list[dict]
    targets: dict[str, tuple[str, ...]]  # level -> path

    def bench(self, probes: Sequence[dict], texts: Sequence[dict]) -> Bench:
        """A bench of these probes and texts."""
        return Bench(self.model, self.tokenizer, self.dictionary, self.layer, probes, texts, self.context_length)

    def some(self, texts: Sequence[dict], tokens: int, seed: int) -> list[dict]:
        """Texts in their order; where they have more than so many tokens, those of a draw that have about as many."""
        ids = self.tokenizer([text["text"] for text in texts], truncation=True, max_length=self.context_length)
        lengths = [len(row) for row in ids["input_ids"]]
        if sum(lengths) <= tokens:
            return list(texts)
        order = random.Random(seed).sample(range(len(texts)), len(texts))
        few = np.cumsum([lengths[x] for x in order]) <= tokens
        return [texts[x] for x in sorted(x for x, kept in zip(order, few, strict=True) if kept)]

    def split(self, *names: str) -> tuple[list[dict], list[dict]]:
        """The probes and the texts of some splits."""
        return (
            [probe for probe in self.probes if probe["split"] in names],
            [text for text in self.texts if text["split"] in names],
        )


def open_subject(
    model_dir: Path,
    sae_dir: Path,
    corpus_dir: Path,
    settings: ActivationsSettings,
    chosen: Mapping[str, Node],
    device: str,
) -> Subject:
    """Open what the earlier stages wrote; ``chosen`` says which node to forget at each level, by path, name or number.

    Only ``resid_post`` can be edited.
    """
    if settings.site != "resid_post":
        raise PipelineError(f"`activations.site` is {settings.site}; unlearning edits resid_post, so set it to that")
    probes, texts = list(read_jsonl(corpus_dir / "probes.jsonl")), list(read_jsonl(corpus_dir / "texts.jsonl"))
    targets = choose_targets(read_json(corpus_dir / "corpus.json")["nodes"], chosen)
    check_targets(targets, texts, probes)
    model = load_model(model_dir, device=device)
    check_stream(model, settings.layer)
    check_upper_layers(model, settings.layer)
    return Subject(
        model,
        load_tokenizer(model_dir),
        load_dictionary(sae_dir).to(device),
        settings.layer,
        settings.context_length,
        probes,
        texts,
        targets,
    )


def count_training_texts(subject: Subject, stored: Stored) -> Firing:
    """Firing statistics on the labelled training texts, which every target's methods read."""
    texts = subject.split("train")[1]
    if stored.holds([row["text"] for row in texts]):
        return Firing(texts, *stored.counts([row["text"] for row in texts]))
    return count_firing(subject.bench([], texts))


class Forest(NamedTuple):
    """The trees of both scales with their cuts."""

    trees: dict[str, FeatureTree]
    cuts: dict[str, list[list[np.ndarray]]]


def open_forest(folder: Path) -> Forest:
    """The token-scale and the document-scale tree."""
    trees = {scale: load_tree(folder / scale) for scale in ("token", "document")}
    cuts = {}
    for scale, tree in trees.items():
        groups = json.loads((folder / scale / "groups.json").read_text(encoding="utf-8"))
        cuts[scale] = [tree.cut(cut["correlation"]) for cut in groups["cuts"]]
    return Forest(trees, cuts)


def read_pool(subject: Subject, corpus_dir: Path, stored: Stored) -> Reading:
    """The unlabelled pool with the labelled texts, read by the subject's model where the stores do not hold them."""
    model, tokenizer, dictionary = subject.model, subject.tokenizer, subject.dictionary
    texts = [row["text"] for rows in corpus_rows(corpus_dir) for row in rows]
    if stored.holds(texts):
        return stored.reading(texts)
    return read(texts, model, tokenizer, dictionary, subject.layer, subject.context_length)


def open_case(
    subject: Subject, forest: Forest, firing: Firing, level: str, settings: UnlearningSettings, seed: int
) -> Case:
    """Everything about forgetting the target of one level, with samples of the train and dev splits."""
    target = subject.targets[level]
    scale = settings.tree_scale.get(level, "document")

    def sample(split: str, most: int, texts_of: tuple[str, ...]) -> Bench:
        probes, texts = subject.split(split)
        copied, _ = subject.split(f"copying_{split}")
        probes += [probe for probe in copied if relation(probe["path"], target) == "forget"]
        wanted = [t for t, of in zip(texts, relations(texts, target), strict=True) if of in texts_of]
        return subject.bench(draw(probes, target, most, seed), draw(wanted, target, settings.dev_texts, seed))

    train = sample("train", TRAIN_PROBES, ("forget", "sibling", "other", "general"))
    dev = sample("dev", settings.dev_probes, ("general",))  # only general text is read for perplexity
    started = time.monotonic()
    before = dev.measure(no_edit(level, target, subject.layer))
    seconds = time.monotonic() - started
    print(
        f"unlearn: judging a candidate for {' / '.join(target)} takes about {seconds:.1f} s "
        f"({len(dev.probes)} probes, {len(dev.texts)} texts)",
        file=sys.stderr,
        flush=True,
    )
    return Case(
        level,
        target,
        subject.layer,
        forest.trees[scale],
        forest.cuts[scale],
        firing,
        train,
        dev,
        before,
        settings,
        seed,
        choices={},
        looks=tuple(_looks(subject, dev, target, settings, seed)),
    )


def _looks(subject: Subject, dev: Bench, target: Node, settings: UnlearningSettings, seed: int) -> Iterator[Look]:
    """``first_look`` dev probes of each relation and as large a share of the texts, then twice as many, but not all."""
    most = settings.first_look
    while most is not None and most < settings.dev_probes:
        n_texts = math.ceil(settings.dev_texts * most / settings.dev_probes)
        bench = subject.bench(draw(dev.probes, target, most, seed), draw(dev.texts, target, n_texts, seed))
        yield Look(most, bench, bench.measure(no_edit("", target, subject.layer)))
        most *= 2
