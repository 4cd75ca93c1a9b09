"""GGUF models become Hugging Face folders: the same logits, the same text, errors in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType, dequantize, quantize
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from pipeline.core.errors import PipelineError
from pipeline.language_model.gguf_convert import check_model, convert_gguf
from pipeline.language_model.gguf_header import read_header
from pipeline.language_model.gguf_source import check_gguf, fingerprint_gguf, is_gguf
from pipeline.language_model.loading import load_model, load_tokenizer
from tests.support.gguf_file import TOKENS, gemma3, write_gguf
from tests.support.tiny_lm import SIZES, gemma

WIDE = {"vocab_size": len(TOKENS), "hidden_size": 64, "intermediate_size": 64}
TEXT = "The capital of Italy is it, and 20 km on."


def llama() -> PreTrainedModel:
    torch.manual_seed(1)
    sizes = SIZES | WIDE | {"num_key_value_heads": 1, "head_dim": 32}
    return LlamaForCausalLM(LlamaConfig(**sizes, pad_token_id=0, eos_token_id=1, bos_token_id=2)).eval()


MODELS = {
    "gemma3": lambda: gemma3(**WIDE),
    "gemma2": lambda: gemma(**WIDE),
    "llama": llama,
}


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_a_converted_model_predicts_what_the_original_does(kind: str, tmp_path: Path) -> None:
    original = MODELS[kind]()
    write_gguf(tmp_path / "tiny.gguf", original)
    folder = tmp_path / "model"
    folder.mkdir()
    about = convert_gguf(str(tmp_path / "tiny.gguf"), "float32", folder)
    assert (about["architecture"], about["quantisation"], about["licence"]) == (kind, "F32", "none")
    ids = load_tokenizer(folder)(TEXT, return_tensors="pt")["input_ids"]
    assert ids[0, 0] == 2, "the beginning of a text is marked"
    got = load_model(folder)(input_ids=ids).logits
    torch.testing.assert_close(got, original(input_ids=ids).logits, rtol=1e-5, atol=1e-5)
    assert check_model(folder, [TEXT])["perplexity"] > 1
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == [], "no scratch is left"


@torch.no_grad()
def test_quantised_blocks_become_plain_weights(tmp_path: Path) -> None:
    original = gemma3(**WIDE)
    write_gguf(tmp_path / "tiny.gguf", original, quantised=True)
    folder = tmp_path / "model"
    folder.mkdir()
    assert convert_gguf(str(tmp_path), "bfloat16", folder)["quantisation"] == "Q8_0", "a folder with one file will do"
    weight = load_model(folder).model.layers[0].mlp.up_proj.weight
    eight = GGMLQuantizationType.Q8_0
    stored = dequantize(quantize(original.model.layers[0].mlp.up_proj.weight.numpy(), eight), eight)
    assert torch.equal(weight, torch.from_numpy(stored).bfloat16())


def test_a_header_says_what_the_model_is(tmp_path: Path) -> None:
    header = read_header(write_gguf(tmp_path / "tiny.gguf", gemma3(**WIDE)))
    assert (header.layers, header.vocabulary, header.quantisation) == (4, len(TOKENS), "F32")
    assert header.values["general.name"] == "tiny gemma3_text"


def test_a_package_carries_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tiny_model_gguf"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "data" / "NOTICE.md").write_text("Terms apply.\n")
    write_gguf(package / "data" / "tiny.gguf", gemma3(**WIDE))
    about = tmp_path / "tiny_model_gguf-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model-gguf\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    source = "package:tiny-model-gguf"
    assert is_gguf(source) and check_gguf(source).layers == 4
    assert fingerprint_gguf(source) == {source: "1.2"}
    folder = tmp_path / "model"
    folder.mkdir()
    assert convert_gguf(source, "float32", folder)["terms"] == ["NOTICE.md"]
    assert (folder / "NOTICE.md").read_text() == "Terms apply.\n"


def _empty(folder: Path) -> str:
    (folder / "empty.gguf").touch()
    return str(folder / "empty.gguf")


def _cut(folder: Path) -> str:
    whole = write_gguf(folder / "whole.gguf", gemma3(**WIDE)).read_bytes()
    (folder / "cut.gguf").write_bytes(whole[:3000])
    return str(folder / "cut.gguf")


def _two(folder: Path) -> str:
    for name in ("a.gguf", "b.gguf"):
        (folder / name).touch()
    return str(folder)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            lambda _: "package:no-such-model",
            "needs the Python package no-such-model, which is not installed",
        ),
        (lambda folder: str(folder / "none.gguf"), "none.gguf is missing; put it there"),
        (_empty, "empty.gguf is not a whole GGUF file"),
        (_cut, "cut.gguf is not a whole GGUF file"),
        (_two, "holds 2 GGUF files; name one of them"),
    ],
    ids=["package", "missing", "empty", "cut", "two"],
)
def test_what_cannot_be_opened_is_said_before_any_work(
    source: Callable[[Path], str], said: str, tmp_path: Path
) -> None:
    named = source(tmp_path)
    assert is_gguf(named)
    with pytest.raises(PipelineError, match=said):
        check_gguf(named)


@pytest.mark.parametrize("source", ["train", "google/gemma-2-2b", "/some/folder"])
def test_other_sources_are_no_gguf(source: str) -> None:
    assert not is_gguf(source)
