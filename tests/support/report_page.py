"""What the stage ``report`` does, on the made-up folder of ``report_files``."""

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.core.files import read_json
from pipeline.core.yaml_text import read_yaml
from pipeline.report.evidence import Evidence, Made, read_evidence
from pipeline.report.page import page
from pipeline.report.pictures import save_pictures, tradeoffs, training_curves, tree_in_training
from pipeline.report.reading import Reading, named, read_codes
from pipeline.report.tree_data import node_measures, tree_data
from pipeline.report.tree_pictures import marked_tree
from pipeline.tree.feature_tree import load_tree
from tests.support.report_files import targets_of, write_all

MADE = Made("run_9", "2026-01-02", "abc1234")
SHOWN_GROUPS, WORDS, SHOWN_NODES = 24, 6, 3000


def read(data: Path) -> Evidence:
    times = [data / "times/prepare.json", data / "times/evaluate.json"]
    folders = (data / name for name in ("evaluation", "unlearning", "dendrogram", "sae", "corpus"))
    return read_evidence(*folders, times, data / "baselines", read_yaml(data / "params.yaml"))


def reading_of(data: Path) -> Reading:
    return read_codes(data / "features.zarr", data / "model", data / "corpus", targets_of(data))


def write_page(data: Path, folder: Path) -> str:
    """What the stage does."""
    evidence, reading, tree = read(data), reading_of(data), load_tree(data / "dendrogram")
    explorable = tree_data(tree, [0.25, 0.5], reading, evidence.clamped_latents(), SHOWN_NODES, WORDS)
    explorable |= node_measures(explorable["id"], read_json(data / "dendrogram/tree.json")["merges"], evidence.cutting)
    pictures = tradeoffs(evidence) | tree_in_training(evidence.training) | {"dendrogram": marked_tree(tree, evidence)}
    save_pictures(folder, pictures | {"training": training_curves(evidence.training)})
    names = named(evidence, reading, SHOWN_GROUPS, WORDS)
    return page(evidence, names, explorable, folder, {"Python": "3"}, {"model": "ab" * 32}, MADE)


class Written(NamedTuple):
    """Where a page was written, from which data."""

    data: Path
    figures: Path
    html: str


_KEPT = tempfile.TemporaryDirectory()
atexit.register(_KEPT.cleanup)


@cache
def written_page() -> Written:
    """The page of the made-up folder, once for all test files: drawing it takes seconds."""
    place = Path(_KEPT.name)
    write_all(place / "data")
    return Written(place / "data", place / "figures", write_page(place / "data", place / "figures"))
