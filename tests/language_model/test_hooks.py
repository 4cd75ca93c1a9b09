"""Hook points: what is read equals Hugging Face's hidden states, what is rewritten is what the layers above see."""

import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.language_model.hooks import SITES, capture, decoder_layers, hook_name, rewriting, upper_layers
from tests.support.tiny_lm import gemma, llama, neox

MODELS = [gemma, llama, neox]
IDS = torch.tensor([[2, 10, 11, 12, 13, 14], [2, 20, 21, 22, 23, 24]])


def test_a_hook_point_is_named_as_in_transformer_lens():
    assert hook_name(1, "resid_post") == "blocks.1.hook_resid_post"


@pytest.mark.parametrize("make", MODELS)
def test_the_residual_stream_equals_the_hidden_states_of_hugging_face(make):
    model = make()
    points = {f"{site}{layer}": (layer, site) for layer in range(3) for site in ("resid_pre", "resid_post")}
    with torch.no_grad():
        states = model(IDS, output_hidden_states=True).hidden_states
        with capture(model, points) as acts:
            model(IDS)
    for layer in range(3):
        assert torch.equal(acts[f"resid_pre{layer}"], states[layer])
        assert torch.equal(acts[f"resid_post{layer}"], states[layer + 1])


@pytest.mark.parametrize("make", MODELS)
def test_a_layer_adds_its_attention_and_its_mlp_to_the_stream(make):
    model = make()
    with torch.no_grad(), capture(model, {site: (1, site) for site in SITES}) as acts:
        model(IDS)
    sum_btd = acts["resid_pre"] + acts["attn_out"] + acts["mlp_out"]
    assert acts["attn_out"].abs().max() > 1e-3
    torch.testing.assert_close(acts["resid_post"], sum_btd)


def test_the_forward_pass_ends_at_the_last_hook_point():
    model, ran = gemma(), []
    for index, layer in enumerate(decoder_layers(model)):
        layer.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
    with torch.no_grad(), capture(model, {"x": (1, "resid_post")}) as acts:
        assert model(IDS) is None
        first = acts["x"]
        model(IDS[:1])
    assert ran == [0, 1, 0, 1]
    assert first.shape == (2, 6, 16) and acts["x"].shape == (1, 6, 16)
    assert model(IDS).logits.shape == (2, 6, 64)  # whole again after the block


def test_hooks_are_gone_after_an_error_inside_the_block():
    model = gemma()
    expected = model(IDS).logits
    with pytest.raises(ZeroDivisionError), rewriting(model, 1, "resid_post", lambda acts: acts * 0):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), upper_layers(model, 1):
        raise ZeroDivisionError
    assert torch.equal(model(IDS).logits, expected)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("site", SITES)
def test_an_identity_edit_changes_nothing_and_another_edit_changes_the_logits(make, site):
    model = make()
    with torch.no_grad():
        plain = model(IDS).logits
        with rewriting(model, 2, site, lambda acts: acts.clone()):
            same = model(IDS).logits
        with rewriting(model, 2, site, lambda acts: acts * 2):
            doubled = model(IDS).logits
    assert torch.equal(plain, same)
    assert (plain - doubled).abs().max() > 1e-5


@pytest.mark.parametrize("make", MODELS)
def test_the_upper_layers_alone_give_the_logits_of_the_whole_model(make):
    model = make()
    mask = torch.ones_like(IDS)
    with torch.no_grad():
        logits = model(IDS, attention_mask=mask).logits
        with capture(model, {"x": (1, "resid_post")}) as acts:
            model(IDS, attention_mask=mask)
        with upper_layers(model, 1) as run:
            torch.testing.assert_close(run(acts["x"], mask), logits)


def test_gradients_reach_the_residual_stream_through_the_upper_layers():
    model = gemma().requires_grad_(False)
    resid = torch.randn(2, 6, 16, requires_grad=True)
    with upper_layers(model, 2) as run:
        run(resid, None).square().sum().backward()
    assert resid.grad.abs().sum() > 0


def test_a_layer_beyond_the_model_and_an_unknown_site_are_named():
    with pytest.raises(PipelineError, match="layer 4 is beyond the model, which has the layers 0 to 3"):
        capture(gemma(), {"x": (4, "resid_post")}).__enter__()
    with pytest.raises(PipelineError, match="unknown site resid_mid"):
        capture(gemma(), {"x": (1, "resid_mid")}).__enter__()
