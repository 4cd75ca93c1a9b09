"""The self-check: what a model is not is refused in one sentence, and the parts of a layer are the model's own."""

import json

import pytest
import torch
from torch import nn
from transformers import GraniteConfig, GraniteForCausalLM, MixtralConfig, MixtralForCausalLM, PreTrainedModel

from benchmarks.architectures import PAGE, RESULTS, page, row
from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import decoder_layers
from pipeline.language_model.structure import (
    check_points,
    check_stream,
    check_upper_layers,
    is_transposed,
    linear_maps,
    output_map,
)
from tests.support.tiny_lm import SIZES, gemma, gemma3, gpt2, llama, loud, neox, qwen

MODELS = [gemma, gemma3, gpt2, llama, neox, qwen]
SPLIT = [(1, "attn_out"), (1, "mlp_out")]


def granite() -> PreTrainedModel:
    return loud(GraniteForCausalLM(GraniteConfig(**SIZES, num_key_value_heads=1, residual_multiplier=0.22)))


def mixtral() -> PreTrainedModel:
    return loud(MixtralForCausalLM(MixtralConfig(**SIZES, num_key_value_heads=1, num_local_experts=4)))


@pytest.mark.parametrize("make", MODELS)
def test_a_model_as_the_hooks_take_it_passes(make):
    model = loud(make())
    for layer in range(4):
        check_stream(model, layer)
        check_upper_layers(model, layer)
    check_points(model, [*SPLIT, (3, "attn_out"), (0, "resid_pre")])
    check_stream(model.get_decoder(), 3)  # as caching opens it: without a head
    assert not model.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 3000.0])
def test_half_precision_is_no_fault_of_structure(dtype, size):
    model = loud(llama())
    model.model.embed_tokens.weight.data *= size
    model.to(dtype)
    check_points(model, SPLIT)
    check_upper_layers(model, 1)


def test_numbers_that_are_not_finite_are_called_so():
    model = loud(llama()).to(torch.float16)
    model.model.layers[1].mlp.down_proj.weight.data.fill_(60000.0)
    for check in (check_stream, check_upper_layers):
        with pytest.raises(PipelineError, match=r"no finite numbers in float16 at .*dtype` to bfloat16 or float32"):
            check(model, 1)
    model.to(torch.float32).model.layers[1].mlp.down_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(PipelineError, match=r"in float32 at resid_post of layer 1: its weights are damaged"):
        check_stream(model, 1)


def test_dropout_is_no_part_of_the_check():
    model = gpt2().train()
    check_stream(model, 1)
    assert model.training


def test_a_multiplier_between_the_parts_and_the_stream_is_found():
    model = granite()
    check_stream(model, 1)
    check_upper_layers(model, 1)
    with pytest.raises(PipelineError, match=r"attn_out \+ mlp_out of layer 1 miss resid_post by \d+%.*cache resid_pre"):
        check_points(model, SPLIT)


class Shy(nn.Module):
    """A layer that knows more than the stream."""

    def __init__(self, layer: nn.Module, source: nn.Module) -> None:
        super().__init__()
        self.layer, self.seen = layer, []
        source.register_forward_hook(lambda module, args, out: self.seen.append(out))

    def forward(self, states: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return self.layer(states + self.seen[-1].mean(), *args, **kwargs)


def test_upper_layers_that_need_more_than_the_stream_are_found():
    model = llama()
    model.model.layers[3] = Shy(model.model.layers[3], model.model.embed_tokens)
    with pytest.raises(PipelineError, match="layers above layer 1"):
        check_upper_layers(model, 1)


def test_a_layer_that_runs_twice_is_found():
    model = llama()
    layer = model.model.layers[1]
    model.model.layers[2].register_forward_pre_hook(lambda module, args: layer(args[0], position_embeddings=None))
    with pytest.raises(PipelineError, match="is not built as this needs"):
        check_stream(model, 1)


def test_the_output_map_is_that_of_the_mlp():
    for make, path in ((gemma, "mlp.down_proj"), (neox, "mlp.dense_4h_to_h"), (gpt2, "mlp.c_proj")):
        model = loud(make())
        assert output_map(model, 1) is decoder_layers(model)[1].get_submodule(path)
    with pytest.raises(PipelineError, match=r"MLP of layer 1 returns the output of no linear map.*mixture of experts"):
        output_map(mixtral(), 1)


def test_linear_maps_are_all_of_a_layers_matrices():
    assert sorted(linear_maps(gpt2(), [3])) == [
        f"transformer.h.3.{n}" for n in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    assert all(is_transposed(module) for module in linear_maps(gpt2(), [3]).values())
    assert len(linear_maps(gemma(), [2, 3])) == 14
    with pytest.raises(PipelineError, match="no linear map, which adapters need"):
        linear_maps(mixtral(), [2])


FAST = ["bloom", "gemma3n_text", "gemma4_text", "granite", "llama4_text", "mixtral", "opt", "phi", "qwen3_next"]


@pytest.mark.parametrize("name", FAST)
def test_the_table_of_architectures_is_what_comes_out(name):
    """`python -m benchmarks.architectures` makes the whole of it."""
    table = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    assert row(name) == table[name]


def test_nothing_in_the_table_of_architectures_is_wrong():
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    cells = [(name, cell) for name, row in found["rows"].items() for cell in row.values()]
    assert not [(name, cell) for name, cell in cells if "WRONG" in cell]
    assert sum("left out" not in row for row in found["rows"].values()) > 150
    assert PAGE.read_text(encoding="utf-8") == page(found)
