"""Two regions of two countries and a tiny Gemma 3 in a GGUF file go the whole way, from `params` to the report."""

from pathlib import Path

import pytest

from pipeline.core.files import read_json
from tests.support.all_stages import SHRUNK, run_all_stages
from tests.support.gguf_file import TOKENS, gemma3, write_gguf
from tests.support.small_atlas import write_places

pytest.importorskip("gguf", reason="the development dependencies hold it")
METHODS = ["flat_frequency", "level_cut"]


def overlay(folder: Path) -> dict:
    """The smallest sizes; nobody asks what a random model knows."""
    model = gemma3(vocab_size=len(TOKENS), hidden_size=32, intermediate_size=32, num_hidden_layers=3)
    places = write_places(folder / "places")
    unlearning = {"targets": {"region": "south-america", "country": "Italy"}, "methods": METHODS, "more_methods": {}}
    unlearning |= {"tree_scale": {"region": "document", "country": "document"}}
    return SHRUNK | {
        "corpus": {"source": "atlas", "levels": ["region", "country"]},
        "atlas": places | {"passage_characters": 200, "most_articles": 20, "most_passages": 12},
        "language_model": {"source": str(write_gguf(folder / "tiny.gguf", model))},
        "activations": SHRUNK["activations"] | {"layer": "auto"},
        "unlearning": SHRUNK["unlearning"] | unlearning,
        "evaluation": SHRUNK["evaluation"] | {"sae_bench": [], "cut_nodes": 2},
    }


def test_the_whole_way(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    done = run_all_stages(work, overlay(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr[-3000:]
    data = work / "data"
    about = read_json(data / "model/source.json")
    assert (about["architecture"], about["quantisation"], len(about["file_sha256"])) == ("gemma3", "F32", 64)
    layers = read_json(data / "model/layers.json")
    assert read_json(data / "unlearning/targets.json")["country"] == ["europe", "Italy"]
    edit = read_json(data / "unlearning/level_cut/country/edit.json")
    assert edit["layer"] == layers["best"]
    assert "unlearning/level_cut/country" in read_json(data / "final_info.json")
