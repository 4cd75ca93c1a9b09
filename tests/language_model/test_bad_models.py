"""Folders of models that cannot be opened, or not as they are: each refused before any stage, in one true sentence."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from pipeline.core.errors import PipelineError
from pipeline.core.weight_files import safetensors_header
from pipeline.language_model.checks import check_model, layer_count, max_positions, model_files, read_config
from pipeline.language_model.loading import load_model, load_tokenizer, model_source
from pipeline.language_model.token_text import TokenText
from tests.support import hub_cache
from tests.support.damage import VALUES
from tests.support.tiny_lm import gemma, save_model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n"
WEIGHTS = "model.safetensors"
CODE = r"needs code of its own \(`auto_map`\), which is never run; give a model"


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def config(**changes: Any) -> Callable[[Path], Any]:
    """config.json with some keys changed; None takes a key away."""

    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text()) | changes
        kept = {key: value for key, value in content.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))

    return change


def weights(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    return lambda folder: (folder / WEIGHTS).write_bytes(change((folder / WEIGHTS).read_bytes()))


def sharded(folder: Path) -> None:
    """The weights named by an index, whose second part is not there."""
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def own_code(folder: Path) -> None:
    (folder / "modeling_mine.py").write_text("raise SystemExit('the code of the folder has run')")
    (folder / "configuration_mine.py").write_text("raise SystemExit('the code of the folder has run')")


AUTO_MAP = {"AutoConfig": "configuration_mine.MyConfig", "AutoModelForCausalLM": "modeling_mine.MyForCausalLM"}

BAD = [
    ("config.json empty", write("config.json", b""), r"config\.json is empty"),
    ("config.json cut", write("config.json", b'{"model_type": "gem'), r"config\.json is not JSON"),
    ("config.json Latin-1", write("config.json", b'{"a": "\xe9"}'), r"config\.json is not JSON"),
    ("config.json a list", write("config.json", b"[]"), r"config\.json holds no mapping but a list"),
    ("config.json null", write("config.json", b"null"), r"config\.json holds no mapping but a NoneType"),
    ("config.json a pointer", write("config.json", POINTER), r"config\.json is a pointer of git LFS"),
    ("config.json deep", write("config.json", b"[" * 100_000), r"config\.json is not JSON"),
    ("no model type", config(model_type=None), "names no `model_type`"),
    ("an empty model type", config(model_type=""), "names no `model_type`"),
    ("a text part of a list", config(text_config=[1]), r"`text_config` is \[1\]; it must be a mapping"),
    ("a model type of a list", config(model_type=["gemma2"]), "names no `model_type`"),
    ("encoder and decoder", config(is_encoder_decoder=True), "is an encoder with a decoder"),
    ("a masked model", config(architectures=["BertForMaskedLM"]), "was saved as BertForMaskedLM, which does not write"),
    ("quantised", config(quantization_config={"quant_method": "gptq", "bits": 4}), r"holds quantised weights \(gptq\)"),
    ("quantised, no mapping", config(quantization_config="int4"), r"quantised weights \(of an unnamed method\)"),
    ("own code", config(auto_map=AUTO_MAP, model_type="mine"), CODE),
    ("own code under a known name", config(auto_map=AUTO_MAP), CODE),
    ("own code, odd", config(auto_map="modeling_mine.MyForCausalLM"), CODE),
    (
        "a tokenizer's own code",
        write("tokenizer_config.json", json.dumps({"auto_map": {"AutoTokenizer": ["t.T", None]}}).encode()),
        CODE,
    ),
    ("tokenizer_config.json cut", write("tokenizer_config.json", b"{"), r"tokenizer_config\.json is not JSON"),
    ("tokenizer.json cut", write("tokenizer.json", b'{"version": '), r"tokenizer\.json is not JSON"),
    ("tokenizer.json a pointer", write("tokenizer.json", POINTER), r"tokenizer\.json is a pointer of git LFS"),
    ("an adapter", write("adapter_config.json", b"{}"), r"holds an adapter \(adapter_config\.json\)"),
    ("weights a pointer", write(WEIGHTS, POINTER), "is a pointer of git LFS, not the weights"),
    ("weights empty", write(WEIGHTS, b""), r"model\.safetensors is empty"),
    ("weights of 5 bytes", write(WEIGHTS, b"\0" * 5), "is cut off"),
    ("weights cut in the header", weights(lambda whole: whole[:100]), "is cut off: it has 100 bytes, and its header"),
    ("weights cut by one byte", weights(lambda whole: whole[:-1]), "is cut off: it has .* bytes, and its header tells"),
    ("weights cut in half", weights(lambda whole: whole[: len(whole) // 2]), "is cut off"),
    ("weights with more", weights(lambda whole: whole + b"more"), "has bytes that no tensor owns"),
    ("weights a web page", write(WEIGHTS, b"<!DOCTYPE html><html>Not found</html>"), "is not a safetensors file"),
    ("weights of pickle", write(WEIGHTS, b"PK\x03\x04" + bytes(60)), "is cut off|is not a safetensors file"),
    ("a header of no JSON", write(WEIGHTS, struct.pack("<Q", 4) + b"abcd"), "has a damaged header"),
    ("a header of a list", write(WEIGHTS, struct.pack("<Q", 2) + b"[]"), "has a damaged header"),
    ("a header without places", write(WEIGHTS, struct.pack("<Q", 8) + b'{"a":{}}'), "has a damaged header"),
    ("no weights", lambda folder: (folder / WEIGHTS).unlink(), r"lacks the weights model\.safetensors"),
    ("a part missing", sharded, r"lacks the weights model-00002-of-00002\.safetensors"),
    (
        "an index of nothing",
        lambda folder: (sharded(folder), write("model.safetensors.index.json", b"{}")(folder)),
        "names no weights",
    ),
    ("too few positions", config(max_position_embeddings=32), "context_length` is 64, but .* reads at most 32 tokens"),
]


@pytest.mark.parametrize(("change", "sentence"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refused_before_any_stage(tmp_path: Path, change: Callable[[Path], Any], sentence: str) -> None:
    folder = save_model(tmp_path / "m")
    own_code(folder)
    check_model(str(folder), None, 64)  # as it is, it is good
    change(folder)
    with pytest.raises(PipelineError, match=sentence) as refused:
        check_model(str(folder), None, 64)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change", [row[1] for row in BAD if row[0] != "too few positions"], ids=[row[0] for row in BAD[:-1]]
)
def test_refused_when_opened_too(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    folder = save_model(tmp_path / "m")
    own_code(folder)
    change(folder)
    with pytest.raises(PipelineError) as refused:
        load_model(folder)
        load_tokenizer(folder)
    assert "\n" not in str(refused.value)


def test_code_that_has_become_part_of_transformers_is_not_needed(tmp_path: Path) -> None:
    """Many models of the hub still name the code that they were first published with."""
    folder = save_model(tmp_path / "m")
    config(auto_map={"AutoModelForCausalLM": "modeling_gemma2.Gemma2ForCausalLM"})(folder)
    check_model(str(folder), None, 64)
    assert type(load_model(folder)).__name__ == "Gemma2ForCausalLM"


def test_surplus_layers_in_the_weights_are_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    config(num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"])(folder)
    for n_layers in (None, 1):
        with pytest.raises(PipelineError, match=r"holds weights of layer 3, but its config\.json tells of 2 layers"):
            load_model(folder, n_layers)


def test_weights_of_another_shape_or_that_are_missing_are_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {"model.norm.weight": torch.ones(3)}, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(PipelineError, match=r"the model in .* can't be loaded: .*"):
        load_model(folder)
    del tensors["model.norm.weight"]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(PipelineError, match=r"lacks weights such as model\.norm\.weight"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"num_hidden_layers": 3}, 3),
        ({"n_layer": 4}, 4),
        ({"text_config": {"num_hidden_layers": 5}, "num_hidden_layers": 9}, 5),  # a model that also sees
        ({"text_config": None, "num_layers": 6}, 6),
        ({"num_hidden_layers": None}, None),
        ({"num_hidden_layers": "7"}, None),
        ({}, None),
    ],
)
def test_the_number_of_layers(tmp_path: Path, content: dict[str, Any], expected: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert layer_count(str(tmp_path), None) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [({"max_position_embeddings": 8}, 8), ({"n_positions": 9}, 9), ({"max_seq_len": 10}, 10), ({"alibi": True}, None)],
)
def test_the_number_of_positions(content: dict[str, Any], expected: int | None) -> None:
    assert max_positions(content) == expected


def test_a_home_folder_is_found_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_model(tmp_path / "mine")
    check_model("~/mine", None, 64)
    assert layer_count("~/mine", None) == 4
    (tmp_path / "m").mkdir()
    (tmp_path / "m/reference.json").write_text(json.dumps({"id": "~/mine", "revision": None, "dtype": None}))
    assert model_source(tmp_path / "m").id == str(tmp_path / "mine")
    assert load_model(tmp_path / "m", 1).config.num_hidden_layers == 1
    assert load_tokenizer(tmp_path / "m")("w0")["input_ids"] == [2, 4]
    assert TokenText.open(tmp_path / "m").piece(4) == " w0"
    with pytest.raises(PipelineError, match="no home folder is known for the `~` of ~nobody-of-this-name/m"):
        check_model("~nobody-of-this-name/m", None, 64)


def test_a_hub_model_that_is_not_in_the_cache_is_asked_nothing() -> None:
    assert model_files("nobody/nothing", None) is None
    check_model("nobody/nothing", None, 64)


def test_what_the_cache_of_the_hub_has_not_fetched_yet_is_no_fault(tmp_path: Path, monkeypatch: Any) -> None:
    snapshot = hub_cache.model_folder(tmp_path, "owner/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    whole = save_model(tmp_path / "m")
    (snapshot / "config.json").write_bytes((whole / "config.json").read_bytes())
    check_model("owner/model", None, 64)
    assert layer_count("owner/model", None) == 4
    (snapshot / WEIGHTS).write_bytes((whole / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(PipelineError, match="is cut off"):
        check_model("owner/model", None, 64)


def test_a_tokenizer_that_opens_and_cannot_read(tmp_path: Path) -> None:
    save_model(tmp_path)
    about = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(about | {"model_max_length": [1]}))
    with pytest.raises(PipelineError, match=r"the tokenizer in .* can't be loaded: "):
        load_tokenizer(tmp_path)


def test_a_tokenizer_file_of_something_else(tmp_path: Path) -> None:
    save_model(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unknown"}}')
    with pytest.raises(PipelineError, match=r"tokenizer\.json is not the file of a fast tokenizer \("):
        TokenText.open(tmp_path)
    with pytest.raises(PipelineError, match=r"the tokenizer in .* can't be loaded: "):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_header_of_sound_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    save_model(tmp_path, gemma(dtype))
    header = safetensors_header(tmp_path / WEIGHTS)
    assert header["model.embed_tokens.weight"]["shape"] == [64, 16]
    assert header.keys() == load_file(tmp_path / WEIGHTS).keys()
    save_file({}, tmp_path / "none.safetensors")
    assert safetensors_header(tmp_path / "none.safetensors") == {}


def test_a_model_that_also_sees_is_read_by_its_text_part(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "a", "text_config": {"max_position_embeddings": 5}}')
    assert read_config(tmp_path / "config.json")["max_position_embeddings"] == 5


def test_any_configuration_opens_a_model_or_gives_one_sentence(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    whole = json.loads((folder / "config.json").read_text())
    keys = st.sampled_from([*whole, "auto_map", "quantization_config", "text_config", "rope_scaling"])

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(keys, VALUES, min_size=1, max_size=2))
    def each(changes: dict[str, Any]) -> None:
        (folder / "config.json").write_text(json.dumps(whole | changes))
        try:
            check_model(str(folder), None, 64)
            load_model(folder, 1)
            load_tokenizer(folder)
        except PipelineError as error:
            assert "\n" not in str(error)

    each()
