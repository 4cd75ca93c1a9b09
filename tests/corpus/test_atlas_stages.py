"""Two regions of two countries and a tiny Gemma 3 in a GGUF file take the path of the real ones, up to the tree."""

from pathlib import Path

import pytest

from pipeline.activations.store import ActivationStore
from pipeline.core.files import read_json
from tests.support.all_stages import SHRUNK, run_all_stages
from tests.support.gguf_file import TOKENS, gemma3, write_gguf
from tests.support.small_atlas import write_places

pytest.importorskip("gguf", reason="the development dependencies hold it")


def overlay(folder: Path) -> dict:
    """The smallest sizes; nobody asks what a random model knows."""
    gguf = gemma3(vocab_size=len(TOKENS), hidden_size=32, intermediate_size=32, num_hidden_layers=3)
    places = write_places(folder / "places")
    model = {"source": str(write_gguf(folder / "tiny.gguf", gguf)), "layer_sweep": True, "least_known": 0}
    return SHRUNK | {
        "corpus": {"source": "atlas", "levels": ["region", "country"]},
        "atlas": places | {"passage_characters": 200, "most_articles": 20, "most_passages": 12},
        "language_model": model,
        "activations": SHRUNK["activations"] | {"layer": "auto"},
        "unlearning": SHRUNK["unlearning"] | {"targets": {"region": "south-america", "country": "Italy"}},
    }


def test_the_path_of_a_real_model(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    done = run_all_stages(work, overlay(tmp_path), until="build_dendrogram", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr[-3000:]
    data = work / "data"
    about = read_json(data / "model/source.json")
    assert (about["architecture"], about["quantisation"], len(about["file_sha256"])) == ("gemma3", "F32", 64)
    assert about["terms"] == [] and about["perplexity"] > 1
    layers = read_json(data / "model/layers.json")
    stored = ActivationStore.open(data / "activations.zarr")
    assert stored.attributes["hook_point"] == f"blocks.{layers['best']}.hook_resid_post"
    assert read_json(data / "dendrogram/groups.json")["cuts"]
