"""A sweep over layers finds where a node is planted, and nothing where it is not."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_jsonl
from pipeline.language_model.layers import best_layer, precision, split_in_half, sweep
from tests.support.settings import recommended
from tests.support.tiny_lm import save_model

NODES = [("r0", "a"), ("r0", "b"), ("r1", "c"), ("r1", "d")]


def test_every_node_is_halved_and_small_ones_left_out() -> None:
    paths = [node for node in NODES for _ in range(4)] + [("r1", "small")] * 3
    halves = split_in_half(paths, [f"fact {i}" for i in range(len(paths))], 2)
    assert not set(halves.fit) & set(halves.test)
    assert halves.fit_nk.sum(0).tolist() == halves.test_nk.sum(0).tolist() == [2, 2, 2, 2]


def test_what_is_planted_is_read_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    paths = [node for node in NODES for _ in range(30)]
    halves = split_in_half(paths, [f"fact {i}" for i in range(len(paths))], 2)
    noise_nd = rng.normal(size=(len(paths), 16))
    planted_nd = noise_nd + 5 * np.eye(16)[[NODES.index(path) for path in paths]]
    assert precision(planted_nd, halves) > 0.95
    assert precision(noise_nd, halves) < 0.45, "chance is .25"


def test_the_first_layer_that_reads_nearly_best_is_taken() -> None:
    rows = [
        {"layer": layer, "last": read, "passage": read} for layer, read in ((-1, 0.9), (0, 0.2), (1, 0.69), (2, 0.7))
    ]
    assert best_layer(rows) == 1, "the embedding is no layer, and .69 is as good as .70"


def corpus(folder: Path) -> Path:
    """Questions about words, and passages that repeat a node's own word."""
    named = [(node, word) for k, node in enumerate(NODES) for word in range(10 * k, 10 * k + 6)]
    probes = [
        {"id": f"p{word}", "prompt": f"w50 w{word} w51", "path": list(node), "kind": "named", "fact": f"w{word}"}
        | {"subject": f"w{word}", "answer": "w1", "options": ["w1", "w2", "w3", "w4"], "split": "test"}
        for node, word in named
    ]
    texts = [
        {
            "text": f"w{10 * k + i} w{40 + k} w{10 * k + i} w{40 + k}",
            "path": list(node),
            "split": "train",
            "kind": "page",
        }
        for k, node in enumerate(NODES)
        for i in range(6)
    ]
    write_jsonl(folder / "probes.jsonl", probes)
    write_jsonl(folder / "texts.jsonl", texts)
    write_json(folder / "corpus.json", {"levels": ["region", "country"]})
    return folder


def test_a_sweep_has_a_row_for_every_layer_and_level(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    table = sweep(model, corpus(tmp_path / "corpus"), 0, "cpu")
    assert table["items"] == {"questions": 24, "passages": 24}
    country = table["levels"]["country"]
    assert [row["layer"] for row in country["layers"]] == [-1, 0, 1, 2, 3]
    assert country["chance"]["last"] == 0.25 and table["levels"]["region"]["chance"]["last"] == 0.5
    assert country["layers"][0]["passage"] == 1.0 == country["tfidf"]["passage"], (
        "the word of a node is in its passages"
    )
    assert country["tfidf"]["last"] < 0.6, "no word is common to the questions of a node"
    write_json(model / "layers.json", table)
    assert at_layer(recommended(ActivationsSettings, layer="auto"), model).layer == table["best"]


def test_a_layer_that_nobody_found_is_said(tmp_path: Path) -> None:
    assert at_layer(recommended(ActivationsSettings, layer=2), tmp_path).layer == 2
    with pytest.raises(PipelineError, match=r"layer` is auto, but .*layers\.json is missing"):
        at_layer(recommended(ActivationsSettings, layer="auto"), tmp_path)
