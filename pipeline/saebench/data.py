"""Our own labelled texts in the place of the data sets that sae-bench would download.

Spurious correlation removal needs texts that two data sets label independently of each other.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from sae_bench.evals.scr_and_tpp import dataset_creation
from sae_bench.evals.scr_and_tpp import main as scr_and_tpp
from sae_bench.sae_bench_utils import dataset_info, dataset_utils

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_jsonl, write_jsonl
from pipeline.saebench.job import Job

Texts = dict[str, list[str]]  # label -> texts


def read_probing(corpus_dir: Path) -> dict[str, dict[str, Texts]]:
    """``{data set: {"train" | "test": {label: texts}}}`` from ``probing.jsonl``, in order of first appearance."""
    path = corpus_dir / "probing.jsonl"
    if not path.exists():
        raise PipelineError(f"{path} is missing; run `uv run dvc repro prepare`")
    tasks: dict[str, dict[str, Texts]] = {}
    for row in read_jsonl(path):
        splits = tasks.setdefault(row["dataset"], {"train": {}, "test": {}})
        splits[row["split"]].setdefault(str(row["label"]), []).append(row["text"])
    for name, splits in tasks.items():
        if len(splits["train"]) < 2 or set(splits["train"]) != set(splits["test"]):
            raise PipelineError(f"{path}: data set {name} needs at least two labels, each with train and test texts")
    if not tasks:
        raise PipelineError(f"{path} is empty; run `uv run dvc repro prepare`")
    return tasks


def balanced(texts: Mapping[str, Sequence[str]], per_label: int, seed: int) -> Texts:
    """The same number of texts for every label: ``per_label``, or what the rarest label has."""
    size = min(per_label, *(len(of_label) for of_label in texts.values()))
    return {label: random.Random(f"{seed}/{label}").sample(of_label, size) for label, of_label in texts.items()}


def serve_probing(corpus_dir: Path) -> list[str]:
    """From now on sae-bench finds the data sets of ``probing.jsonl`` by name; returns the names.

    As in its own data sets, a probe's set is half of the class and half of the others, so each label gives half of
    ``train_set_size`` texts.
    """
    tasks = read_probing(corpus_dir)

    def local(
        name: str, train_set_size: int, test_set_size: int, random_seed: int
    ) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        train = balanced(tasks[name]["train"], train_set_size // 2, random_seed)
        return train, balanced(tasks[name]["test"], test_set_size // 2, random_seed)

    dataset_utils.get_multi_label_train_test_data = local
    for name, splits in tasks.items():
        dataset_info.chosen_classes_per_dataset[name] = list(splits["train"])
    return list(tasks)


def text_folder(corpus_dir: Path, folder: Path, seed: int) -> Path:
    """The training texts, shuffled, as a folder that ``datasets.load_dataset`` opens (one column, ``text``)."""
    texts = [{"text": row["text"]} for row in read_jsonl(corpus_dir / "train.jsonl")]
    random.Random(seed).shuffle(texts)
    write_jsonl(folder / "train.jsonl", texts)
    return folder


Tasks = Mapping[str, Mapping[str, Texts]]
Crossing = tuple[str, str, tuple[str, str], tuple[str, str]]  # two data sets, two labels of each

MIN_TEXTS = 8  # of every combination of labels, in train and in test


def crossings(tasks: Tasks) -> list[Crossing]:
    """Every two data sets, with two labels of each, whose four combinations all have texts in both splits."""
    found = []
    for first, second in itertools.combinations(tasks, 2):
        pairs = itertools.product(
            itertools.combinations(tasks[first]["train"], 2), itertools.combinations(tasks[second]["train"], 2)
        )
        found += [(first, second, one, other) for one, other in pairs if _smallest(tasks, first, second, one, other)]
    return found


def serve_crossed(job: Job, most: int = 4) -> dict[str, Any]:
    """From now on SCR reads the first ``most`` crossings of ``probing.jsonl``; returns its part of the configuration.

    sae-bench calls its data sets by their hub names ("amazon_reviews" must be in it) and its two attributes column 1
    and column 2, the second one being the same for all pairs of a data set.
    """
    tasks = read_probing(job.corpus_dir)
    found = crossings(tasks)[:most]
    if not found:
        raise PipelineError(
            f"{job.corpus_dir / 'probing.jsonl'} has no two data sets that label the same texts, at least {MIN_TEXTS} "
            "for each combination of labels, so there is no correlation to remove"
        )
    sets = {}
    for number, (first, second, one, other) in enumerate(found):
        name = f"local/amazon_reviews_{number}_{first}_{second}"
        sets[name] = (first, second, one, other)
        dataset_info.dataset_metadata[name] = {
            "text_column_name": "text",
            "column1_name": "one",
            "column2_name": "other",
            "column1_mapping": {label: label for label in one},
            "column2_mapping": {label: label for label in other},
        }
        scr_and_tpp.COLUMN2_VALS_LOOKUP[name] = other
    dataset_creation.load_dataset = lambda name: {
        split: _table(tasks, split, *sets[name][:2]).to_dict("records") for split in ("train", "test")
    }
    smallest = {split: min(_smallest(tasks, *crossing, splits=(split,)) for crossing in found) for split in _SPLITS}
    # of two combinations it wants more than twice the number that it takes of each
    return {
        "dataset_names": list(sets),
        "column1_vals_lookup": {name: [one] for name, (_, _, one, _) in sets.items()},
        "train_set_size": min(job.settings.probe_train_size, 4 * ((smallest["train"] - 1) // 2)),
        "test_set_size": min(job.settings.probe_test_size, 4 * ((smallest["test"] - 1) // 2)),
    }


_SPLITS = ("train", "test")


def _table(tasks: Tasks, split: str, first: str, second: str) -> pd.DataFrame:
    """Texts with a label in both data sets: columns text, one, other."""
    other = {text: label for label, texts in tasks[second][split].items() for text in texts}
    rows = [
        {"text": text, "one": label, "other": other[text]}
        for label, texts in tasks[first][split].items()
        for text in texts
        if text in other
    ]
    return pd.DataFrame(rows, columns=["text", "one", "other"])


def _smallest(
    tasks: Tasks, first: str, second: str, one: tuple[str, str], other: tuple[str, str], splits=_SPLITS
) -> int:
    """Texts of the rarest combination of labels; 0 below ``MIN_TEXTS``."""
    sizes = []
    for split in splits:
        table = _table(tasks, split, first, second)
        counts = table.groupby(["one", "other"]).size()
        sizes += [int(counts.get(combination, 0)) for combination in itertools.product(one, other)]
    return min(sizes) if min(sizes) >= MIN_TEXTS else 0
