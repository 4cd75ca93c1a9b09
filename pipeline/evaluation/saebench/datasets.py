"""Our own labelled texts in the place of the data sets that sae-bench would download."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from sae_bench.sae_bench_utils import dataset_info, dataset_utils

from pipeline.errors import PipelineError
from pipeline.files import read_jsonl, write_jsonl

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
