"""Dictionaries on disk: what SAELens itself reads back, Gemma Scope's file, and refusals."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.core.errors import PipelineError
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary, save_dictionary
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Trainer
from tests.support.settings import recommended

METADATA = {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "hook_layer": 1}
D_MODEL, D_SAE = 16, 48


def random_dictionary(**rule) -> Dictionary:
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL), dim=1)
    return Dictionary(rows.T.clone(), torch.randn(D_SAE) / 5, rows, torch.randn(D_MODEL), **rule)


RULES = [{}, {"threshold": torch.linspace(0.1, 0.9, D_SAE)}, {"k": 5}]
ACTS = torch.randn(3, 7, D_MODEL, generator=torch.Generator().manual_seed(1)) * 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("rule", "name"), list(zip(RULES, ["standard", "jumprelu", "topk"], strict=True)))
def test_sae_lens_reads_the_folder_and_reconstructs_the_same(rule, name, tmp_path):
    from sae_lens import SAE

    dictionary = random_dictionary(**rule)
    save_dictionary(tmp_path, dictionary, METADATA)
    theirs = SAE.load_from_disk(tmp_path)
    assert theirs.cfg.architecture() == name
    assert theirs.cfg.metadata.hook_name == METADATA["hook_name"]
    torch.testing.assert_close(theirs.encode(ACTS), dictionary.encode(ACTS), atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs(ACTS), dictionary(ACTS), atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("architecture", ["batch_topk", "topk", "matryoshka", "jump_relu", "relu"])
def test_sae_lens_reconstructs_what_each_architecture_learned(architecture, tmp_path):
    from sae_lens import SAE

    settings = recommended(SAESettings, architecture=architecture, d_sae=D_SAE, k=4, steps=20, warm_up_steps=2)
    batches = torch.randn(20, 64, D_MODEL, generator=torch.Generator().manual_seed(2)) * 3 + 5
    trainer = Trainer(settings, by_mean_norm(batches.mean((0, 1)), float(batches.norm(dim=2).mean())), 0, "cpu")
    for batch in batches:
        trainer.step(batch)
    dictionary = trainer.dictionary()
    save_dictionary(tmp_path, dictionary, METADATA)
    theirs = SAE.load_from_disk(tmp_path)
    assert int((dictionary.encode(batches[0]) > 0).sum()) > 64
    torch.testing.assert_close(theirs(batches[0]), dictionary(batches[0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rule", RULES)
def test_a_folder_read_back_is_the_same_dictionary(rule, tmp_path):
    dictionary = random_dictionary(**rule)
    save_dictionary(tmp_path, dictionary, METADATA)
    assert torch.equal(load_dictionary(tmp_path)(ACTS), dictionary(ACTS))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_folder_that_sae_lens_wrote_reconstructs_the_same(tmp_path):
    """b_dec at the input and codes rescaled by decoder norms are folded into the weights on the way in."""
    from sae_lens import TopKSAE, TopKSAEConfig

    theirs = TopKSAE(TopKSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=5, rescale_acts_by_decoder_norm=True))
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    theirs.save_model(tmp_path)
    torch.testing.assert_close(load_dictionary(tmp_path)(ACTS), theirs(ACTS).detach(), atol=1e-4, rtol=1e-5)


def test_gemma_scope_params_reconstruct_by_their_own_formula(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "W_enc": rng.normal(size=(D_MODEL, D_SAE)),
        "b_enc": rng.normal(size=D_SAE),
        "W_dec": rng.normal(size=(D_SAE, D_MODEL)),
        "b_dec": rng.normal(size=D_MODEL),
        "threshold": rng.uniform(size=D_SAE),
    }
    np.savez(tmp_path / "params.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})
    pre = ACTS.double().numpy() @ arrays["W_enc"] + arrays["b_enc"]
    expected = (pre * (pre > arrays["threshold"])) @ arrays["W_dec"] + arrays["b_dec"]
    for place in (tmp_path, tmp_path / "params.npz"):
        np.testing.assert_allclose(load_dictionary(place)(ACTS).numpy(), expected, atol=1e-4)


def test_an_empty_folder_is_named_in_the_error(tmp_path):
    with pytest.raises(PipelineError, match="holds no sparse autoencoder"):
        load_dictionary(tmp_path)


def test_an_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "params.npz", weights=np.ones(3))
    with pytest.raises(PipelineError, match=r"is not a Gemma Scope params\.npz"):
        load_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architecture": "gated"}, "architecture 'gated' is not"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations is 'layer_norm'"),
    ],
)
def test_a_folder_whose_rule_is_unknown_is_refused(change, reason, tmp_path):
    save_dictionary(tmp_path, random_dictionary(), METADATA)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | change))
    with pytest.raises(PipelineError, match=reason):
        load_dictionary(tmp_path)


def test_weights_without_a_config_are_refused(tmp_path):
    save_file({"W_enc": torch.ones(2, 3)}, tmp_path / "sae_weights.safetensors")
    with pytest.raises(PipelineError, match="holds no sparse autoencoder"):
        load_dictionary(tmp_path)
