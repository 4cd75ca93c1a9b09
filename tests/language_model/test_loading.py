"""Opening a model: the first layers alone, references to models elsewhere, and the sentences for what is missing."""

import json

import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import capture
from pipeline.language_model.loading import count_layers, load_model, load_tokenizer, model_identity
from tests.support.tiny_lm import gemma, llama, neox, save_model

IDS = torch.tensor([[2, 10, 11, 12, 13, 14]])


@pytest.mark.parametrize("make", [gemma, llama, neox])
def test_the_first_layers_alone_give_the_hidden_states_of_the_whole_model(make, tmp_path):
    save_model(tmp_path / "m", make())
    whole, part = load_model(tmp_path / "m"), load_model(tmp_path / "m", n_layers=2)
    with torch.no_grad(), capture(part, {"x": (1, "resid_post")}) as acts:
        part(IDS)
        states = whole(IDS, output_hidden_states=True).hidden_states
    assert torch.equal(acts["x"], states[2])
    names = [name for name, _ in part.named_parameters()]
    assert not any("layers.2." in name or "lm_head" in name or "embed_out" in name for name in names)
    assert not any(weight.requires_grad for weight in whole.parameters()) and not whole.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_keeps_the_dtype_it_was_saved_in_unless_told(dtype, tmp_path):
    save_model(tmp_path / "m", gemma(dtype))
    assert load_model(tmp_path / "m").dtype == dtype
    assert load_model(tmp_path / "m", dtype="float32").dtype == torch.float32


def test_a_reference_leads_to_the_model_and_sets_its_dtype(tmp_path):
    save_model(tmp_path / "elsewhere")
    (tmp_path / "m").mkdir()
    reference = {"id": str(tmp_path / "elsewhere"), "revision": None, "dtype": "bfloat16"}
    (tmp_path / "m/reference.json").write_text(json.dumps(reference))
    assert load_model(tmp_path / "m", n_layers=1).dtype == torch.bfloat16
    assert load_tokenizer(tmp_path / "m")("w0 w1").input_ids == [2, 4, 5]
    assert count_layers(tmp_path / "m") == 4


def test_the_identity_changes_with_the_weights(tmp_path):
    first = model_identity(save_model(tmp_path / "a"))
    again = model_identity(save_model(tmp_path / "a"))
    other = model_identity(save_model(tmp_path / "a", gemma(torch.bfloat16)))
    assert first == again and first != other and first["id"] == "a"


def test_a_layer_beyond_the_model_is_named(tmp_path):
    save_model(tmp_path / "m")
    with pytest.raises(PipelineError, match=r"layer 4 is beyond the model: .* has the layers 0 to 3"):
        load_model(tmp_path / "m", n_layers=5)


def test_a_folder_without_a_model_or_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(PipelineError, match="holds no language model"):
        load_model(tmp_path)
    gemma().save_pretrained(tmp_path / "m")
    with pytest.raises(PipelineError, match=r"m has no tokenizer\.json, the file of a fast tokenizer"):
        load_tokenizer(tmp_path / "m")


def test_missing_weights_are_named(tmp_path):
    save_model(tmp_path / "m")
    (tmp_path / "m/model.safetensors").unlink()
    with pytest.raises(PipelineError, match=r"m lacks the weights model\.safetensors; copy or save the model again"):
        load_model(tmp_path / "m")


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "reference.json").write_text(json.dumps({"id": "nobody/nothing", "revision": "abc", "dtype": None}))
    with pytest.raises(PipelineError, match=r"nobody/nothing at revision abc .*hf download nobody/nothing"):
        load_model(tmp_path)
