"""A refusal names the true cause: broken weights, equal rows, equal latents, what a pool's processes could not open."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.activations.plan import Window
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.core.errors import PipelineError
from pipeline.core.processes import MachineSettings
from pipeline.core.progress import track
from pipeline.sae.build import build_dictionary
from pipeline.sae.settings import SAESettings
from pipeline.tree.dendrogram import build_tree
from pipeline.unlearning import choosing
from tests.activations.test_caching import build
from tests.support.settings import recommended
from tests.support.tiny_lm import gemma, save_model
from tests.tree.test_dendrogram import correlation_of, random_codes


@pytest.mark.parametrize(
    ("dtype", "value", "sentence"),
    [
        ("bfloat16", float("nan"), "window 0 has activations that are no numbers (NaN): the model computes them so"),
        ("float16", float("nan"), "window 0 has activations that are no numbers (NaN)"),
        ("float16", float("inf"), "window 0 has activations beyond float16; set `activations.dtype` to bfloat16"),
        ("bfloat16", float("inf"), "window 0 has infinite activations: the model computes them so"),
        ("float32", float("-inf"), "window 0 has infinite activations"),
    ],
)
def test_activations_that_are_not_finite(tmp_path, dtype, value, sentence):
    sizes = {"window_rows": 64, "chunk_mib": 1, "compression": "none"}
    create_store(tmp_path / "a.zarr", 64, 8, dtype=dtype, attributes={}, **sizes)
    acts_nd = torch.zeros(64, 8, dtype=getattr(torch, dtype))
    acts_nd[3, 5] = value
    with pytest.raises(PipelineError) as refused:
        WindowWriter(tmp_path / "a.zarr").write(Window(0, 0, 64), acts_nd, {})
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("value", "what"), [(float("nan"), "NaN"), (float("inf"), "infinity")])
def test_broken_weights_are_named_before_anything_is_computed(tmp_path, value, what):
    model = gemma()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[2, 3] = value
    save_model(tmp_path / "model", model)
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "w1 w2 w3", "path": []}))
    with pytest.raises(PipelineError, match=rf"has {what} among its weights `\S*layers\.1\.mlp\.up_proj\.weight`"):
        build(tmp_path, tmp_path / "a.zarr")


@pytest.mark.parametrize("pretrained", [None, "somewhere"])
def test_a_store_of_equal_rows_is_not_called_divergence(tmp_path, pretrained):
    store = SimpleNamespace(mean_d=np.ones(8), var_d=np.full(8, 1e-16), path="data/activations.zarr")
    settings = recommended(SAESettings, pretrained=pretrained)
    with pytest.raises(PipelineError, match=r"every row of data/activations\.zarr is the same, .*`activations\.layer`"):
        build_dictionary(store, settings, recommended(MachineSettings), 0, "cpu", tmp_path)


@pytest.mark.parametrize(
    ("dense", "sentence"),
    [
        (np.ones((40, 5)), "5 latents fire in at least 3 documents of 40, but all have the same value in every doc"),
        (np.hstack([np.ones((40, 5)), random_codes(40, 1)]), "6 latents fire .* but all but one have the same value"),
        (np.zeros((40, 5)), "0 latents fire in at least 3 documents of 40, too few for a tree; lower dendrogram"),
    ],
)
def test_latents_that_are_always_on_are_not_said_to_be_silent(dense, sentence):
    with pytest.raises(PipelineError, match=sentence):
        build_tree(correlation_of(dense), 3)


def test_what_a_process_of_a_pool_could_not_open_is_its_own_sentence(monkeypatch):
    def refuse(_):
        raise PipelineError("data/sae holds no sparse autoencoder")

    monkeypatch.setattr(choosing, "_open", refuse)
    monkeypatch.setattr(choosing, "_refused", None)
    choosing._open_or_keep_why(None)
    with pytest.raises(PipelineError, match="data/sae holds no sparse autoencoder"):
        choosing._choose(None)


def test_progress_ends_at_all_of_it(capsys, monkeypatch):
    """The last step may be short, as the last window of a store is, or the total may have been a guess."""
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    assert list(track(range(7), "caching", 2, "tokens", 0, 100)) == list(range(7))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 7 and said[-1].startswith("caching: 200 of 200 tokens (100%)") and "-" not in "".join(said)
