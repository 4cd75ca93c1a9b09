"""SAELens' configurations of two generations: read as SAELens itself reads them, compared in numbers, or refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pipeline.core.errors import PipelineError
from pipeline.sae.folder import check_origin, load_dictionary, load_pretrained, pretrained_origin

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
D_IN, D_SAE = 16, 48
ACTS = torch.randn(40, D_IN, generator=torch.Generator().manual_seed(1)) * 3
OLD = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu", "model_name": "gpt2-small"}
OLD |= {"hook_name": "blocks.1.hook_resid_post", "hook_layer": 1}
NEW = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu", "architecture": "standard"}
NEW |= {"metadata": {"sae_lens_version": "6.37.0", "model_name": "gpt2-small", "hook_name": "blocks.1.hook_resid_post"}}
TOPK = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}


def tensors(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = {"W_enc": (D_IN, D_SAE), "b_enc": (D_SAE,), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()} | more


def folder_with(path: Path, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Path:
    path.mkdir(exist_ok=True)
    (path / "cfg.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    save_file(dict(weights), path / "sae_weights.safetensors")
    return path


THRESHOLD = torch.linspace(-1, 4, D_SAE)


@pytest.mark.parametrize(
    ("config", "more", "l0"),
    [
        (OLD | TOPK, {}, 5),
        (OLD | TOPK | {"architecture": "standard"}, {}, 5),  # as SAELens 3 to 5 wrote it
        (OLD | {"activation_fn": "topk", "activation_fn_kwargs": {"k": 3}}, {}, 3),
        (OLD | {"activation_fn_str": "relu"}, {}, None),
        (OLD, {}, None),  # all by default
        (OLD | {"apply_b_dec_to_input": False}, {}, None),
        (OLD | {"normalize_activations": False, "finetuning_scaling_factor": False}, {}, None),
        (OLD | {"hook_name": ..., "hook_point": "blocks.1.hook_resid_post"}, {}, None),  # of SAELens 2
        (OLD | {"sae_lens_version": "5.11.0"} | TOPK, {}, 5),
        (OLD | {"architecture": "jumprelu"}, {"threshold": THRESHOLD}, None),
        (OLD, {"scaling_factor": torch.ones(D_SAE)}, None),  # which SAELens drops as well
        (NEW, {}, None),
        (NEW | {"apply_b_dec_to_input": False}, {}, None),
        (NEW | {"rescale_acts_by_decoder_norm": True}, {}, None),  # no key of this architecture: SAELens reads past it
        (NEW | {"architecture": "jumprelu", "apply_b_dec_to_input": False}, {"threshold": THRESHOLD}, None),
        (NEW | {"architecture": "jumprelu"}, {"threshold": -THRESHOLD}, None),  # below zero a ReLU decides
        (NEW | {"architecture": "topk", "k": 5}, {}, 5),
        (NEW | {"architecture": "topk", "k": 7, "rescale_acts_by_decoder_norm": True}, {}, 7),
        (NEW | {"architecture": "topk", "k": 1, "apply_b_dec_to_input": False}, {}, 1),
        (NEW | {"architecture": "topk", "k": D_SAE}, {}, None),  # all of them, which leaves a ReLU
    ],
)
def test_sae_lens_reads_it_the_same(tmp_path: Path, config: dict, more: dict, l0: int | None) -> None:
    from sae_lens import SAE

    folder = folder_with(tmp_path / "sae", config, tensors(**more))
    ours, theirs = load_dictionary(folder), SAE.load_from_disk(folder)
    torch.testing.assert_close(ours(ACTS), theirs(ACTS).detach(), atol=2e-4, rtol=1e-5)
    fired, theirs_fired = ours.encode(ACTS) > 0, theirs.encode(ACTS) > 0
    assert torch.equal(fired, theirs_fired)
    if l0 is not None:
        assert fired.sum(1).float().mean().item() == pytest.approx(l0, abs=0.3)


@pytest.mark.parametrize(
    ("config", "more", "sentence"),
    [
        (OLD | {"activation_fn_str": "tanh-relu"}, {}, "activation_fn is 'tanh-relu', which cannot be read"),
        (OLD | {"activation_fn_str": "topk"}, {}, "activation_fn is 'topk', which cannot be read"),  # and no k
        (OLD | {"hook_name": "blocks.1.attn.hook_z"}, {}, "reshape_activations is 'hook_z'"),
        (OLD | {"reshape_activations": "hook_z"}, {}, "reshape_activations is 'hook_z'"),
        (OLD | {"normalize_activations": True}, {}, "normalize_activations is 'expected_average_only_in'"),
        (OLD | {"normalize_activations": "layer_norm"}, {}, "normalize_activations is 'layer_norm'"),
        (OLD | {"finetuning_scaling_factor": True}, {}, "finetuning_scaling_factor is True"),
        (OLD, {"scaling_factor": torch.full((D_SAE,), 1.5)}, "it has a scaling_factor, which cannot be read"),
        (OLD, {"finetuning_scaling_factor": torch.ones(D_SAE)}, "what differs is finetuning_scaling_factor"),
        (OLD | {"hook_head_index": 3}, {}, "hook_head_index is 3"),
        (OLD | {"architecture": "gated"}, {}, "architecture 'gated' is not standard, jumprelu, topk"),
        (NEW | {"architecture": "matryoshka_batchtopk"}, {}, "architecture 'matryoshka_batchtopk' is not"),
        (NEW | {"architecture": ["topk"]}, {}, r"architecture \['topk'\] is not"),
        (NEW | {"architecture": "jumprelu"}, {}, "what differs is threshold"),
        (NEW, {"threshold": THRESHOLD}, "what differs is threshold"),
        (NEW | {"activation_fn": "topk"}, {}, "activation_fn is 'topk'"),
        (
            NEW | {"normalize_activations": "constant_norm_rescale"},
            {},
            "normalize_activations is 'constant_norm_rescale'",
        ),
        (
            NEW | {"normalize_activations": "covariance_whitening"},
            {},
            "normalize_activations is 'covariance_whitening'",
        ),
        (NEW | {"architecture": "topk"}, {}, "k is None; a topk dictionary of 48 latents needs 1 to 48"),
        (NEW | {"architecture": "topk", "k": 0}, {}, "k is 0"),
        (NEW | {"architecture": "topk", "k": 49}, {}, "k is 49"),
        (NEW | {"architecture": "topk", "k": 5.5}, {}, "k is 5.5"),
        (NEW | {"architecture": "topk", "k": True}, {}, "k is True"),
        (NEW | {"apply_b_dec_to_input": 2}, {}, "apply_b_dec_to_input is 2; it must be true or false"),
        (NEW | {"apply_b_dec_to_input": None}, {}, "apply_b_dec_to_input is None"),
        (NEW | {"architecture": "topk", "k": 5, "rescale_acts_by_decoder_norm": "no"}, {}, "norm is 'no'; it must be"),
        (NEW | {"d_in": 17}, {}, "d_in is 17, but the weights have 16"),
        (NEW | {"d_sae": 47}, {}, "d_sae is 47, but the weights have 48"),
        (NEW, {"W_dec": torch.randn(D_IN, D_SAE)}, r"W_dec has the shape \(16, 48\), but W_enc asks for \(48, 16\)"),
        (NEW, {"b_enc": torch.randn(D_IN)}, r"b_enc has the shape \(16,\), but W_enc asks for \(48,\)"),
        (NEW, {"W_enc": torch.randn(3)}, r"W_enc has the shape \(3,\); it must be"),
        (NEW, {"b_dec": torch.full((D_IN,), torch.nan)}, "b_dec holds numbers that are not finite"),
        (NEW, {"W_enc": torch.full((D_IN, D_SAE), torch.inf)}, "W_enc holds numbers that are not finite"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, config: dict, more: dict, sentence: str) -> None:
    folder = folder_with(tmp_path / "sae", config, tensors(**more))
    with pytest.raises(PipelineError, match=sentence) as refused:
        load_dictionary(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cfg.json", b"", r"cfg\.json is not JSON"),
        ("cfg.json", b"{", r"cfg\.json is not JSON"),
        ("cfg.json", b"\xff", r"cfg\.json is not JSON"),
        ("cfg.json", b"[1]", r"cfg\.json holds no mapping but a list"),
        ("cfg.json", b"{}", "d_in|architecture|is fine"),
        ("sae_weights.safetensors", b"", "is empty"),
        ("sae_weights.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of git LFS"),
        ("sae_weights.safetensors", b"\x08\0\0\0\0\0\0\0abcdefgh", "has a damaged header"),
        ("sae_weights.safetensors", b"\0" * 5, "is cut off"),
        ("params.npz", b"", r"is not a Gemma Scope params\.npz"),
        ("params.npz", b"PK\x03\x04" + bytes(30), r"is not a Gemma Scope params\.npz: "),
        ("params.npz", b"no archive at all", r"is not a Gemma Scope params\.npz: "),
    ],
)
def test_damaged_folders(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    folder = folder_with(tmp_path / "sae", NEW, tensors())
    (folder / name).write_bytes(content)
    if content == b"{}":  # all by default, as SAELens 5 meant it
        assert load_dictionary(folder).k is None
        return
    with pytest.raises(PipelineError, match=sentence):
        load_dictionary(folder)


def test_an_archive_of_other_arrays_and_one_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "params.npz"
    names = {"W_enc": (D_IN, D_SAE), "b_enc": D_SAE, "W_dec": (D_SAE, D_IN), "b_dec": D_IN, "threshold": D_SAE}
    np.savez(path, **{name: np.ones(shape, np.float32) for name, shape in names.items()})
    whole = path.read_bytes()
    assert load_dictionary(tmp_path).d_sae == D_SAE
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PipelineError, match="is not a Gemma Scope"):
        load_dictionary(tmp_path)
    path.write_bytes(whole[:3000] + bytes(64) + whole[3064:])
    with pytest.raises(PipelineError, match="is not a Gemma Scope"):
        load_dictionary(tmp_path)
    np.savez(path, **{name: np.array([{}], object) for name in names})  # pickled objects are never loaded
    with pytest.raises(PipelineError, match="is not a Gemma Scope"):
        load_dictionary(tmp_path)


OURS = {"model_name": "openai-community/gpt2", "hook_name": "blocks.1.hook_resid_post", "hook_layer": 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, None),
        ({"model_name": "GPT2"}, None),
        ({"model_name": "gpt2-small"}, None),  # TransformerLens' name for it
        ({"model_name": "owner/gpt2"}, None),
        (
            {"model_name": "gpt2-medium"},
            "was trained on model_name gpt2-medium, but this run reads openai-community/gpt2",
        ),
        ({"model_name": "pythia-70m"}, "was trained on model_name pythia-70m"),
        ({"hook_name": "blocks.2.hook_resid_post"}, "was trained on hook_name blocks.2.hook_resid_post"),
        ({"hook_name": "blocks.1.hook_resid_pre"}, "was trained on hook_name blocks.1.hook_resid_pre"),
        ({"hook_name": "blocks.1.hook_mlp_out"}, "was trained on hook_name blocks.1.hook_mlp_out"),
        ({"hook_name": ..., "hook_layer": 5}, "was trained on hook_layer 5"),
        ({"hook_name": ..., "hook_layer": ..., "model_name": ...}, None),  # it says nothing of itself
    ],
)
@pytest.mark.parametrize("generation", [5, 6])
def test_a_dictionary_of_another_place_is_refused(
    tmp_path: Path, changes: dict[str, Any], sentence: str | None, generation: int
) -> None:
    said = {key: value for key, value in (OURS | changes).items() if value is not ...}
    config = OLD | {"model_name": ..., "hook_name": ..., "hook_layer": ...} | said
    if generation == 6:
        config = NEW | {"metadata": {"sae_lens_version": "6.1.0", **said}}
    folder = folder_with(tmp_path / "sae", config, tensors())
    if sentence is None:
        assert check_origin(str(folder), OURS) == said
    else:
        with pytest.raises(PipelineError, match=sentence):
            check_origin(str(folder), OURS)


@pytest.mark.parametrize(
    ("folder", "origin"),
    [
        ("layer_12/width_16k/average_l0_82", {"hook_layer": 12}),
        (
            "models--google--gemma-scope-2b-pt-res/snapshots/0/layer_5/width_65k/average_l0_1",
            {"hook_layer": 5, "hook_name": "blocks.5.hook_resid_post"},
        ),
        (
            "models--google--gemma-scope-9b-it-mlp/snapshots/0/layer_0/width_16k/average_l0_1",
            {"hook_layer": 0, "hook_name": "blocks.0.hook_mlp_out"},
        ),
        ("elsewhere", {}),
    ],
)
def test_gemma_scope_tells_its_place_by_its_path(tmp_path: Path, folder: str, origin: dict[str, Any]) -> None:
    for place in (tmp_path / folder, tmp_path / folder / "params.npz"):
        assert pretrained_origin(place) == origin


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder_with(tmp_path / "sae", NEW, tensors())
    assert load_pretrained("~/sae", D_IN).d_sae == D_SAE
    for source in ("~/none", "~nobody-of-this-name/sae", "owner/repository:", ":folder"):
        with pytest.raises(PipelineError, match=f"`sae.pretrained` {source} (does not exist|cannot be fetched)"):
            load_pretrained(source, D_IN)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 60), st.floats(), st.text(max_size=5), st.just([]), st.just({"k": 5})
)
KEYS = st.sampled_from(
    [*OLD, *NEW, *TOPK, "k", "apply_b_dec_to_input", "rescale_acts_by_decoder_norm", "hook_head_index"]
)


def test_any_configuration_gives_a_dictionary_or_one_sentence(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "sae", NEW, tensors())

    @settings(max_examples=70, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from([OLD, NEW, OLD | TOPK, NEW | {"architecture": "topk", "k": 5}]), st.dictionaries(KEYS, VALUES)
    )
    def each(config: dict, changes: dict) -> None:
        (folder / "cfg.json").write_text(json.dumps(config | changes))
        try:
            assert load_dictionary(folder).encode(ACTS).shape == (40, D_SAE)
            check_origin(str(folder), OURS)
        except PipelineError as error:
            assert str(error).isprintable()

    each()


def test_a_header_without_a_shape_is_one_sentence(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "sae", NEW, tensors())
    weights = folder / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b'"shape"', b'" hape"', 1))
    with pytest.raises(PipelineError, match=r"sae_weights\.safetensors cannot be read \(.*shape.*\); copy it again"):
        load_dictionary(folder)


def test_any_damage_of_the_weights_gives_the_same_dictionary_or_one_sentence(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "sae", NEW, tensors())
    path = folder / "sae_weights.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, header), st.sampled_from([0, 1, 9, 10**6]), st.binary(max_size=9))
    def each(start: int, length: int, put: bytes) -> None:
        path.write_bytes(whole[:start] + put + whole[start + length :])
        try:
            load_dictionary(folder)
        except PipelineError as error:
            assert str(error).isprintable()

    each()
