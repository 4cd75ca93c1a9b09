"""From a store to data/sae: training.json, the dictionary, no checkpoint left; a pretrained dictionary instead."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings
from pipeline.core.settings import parse
from pipeline.sae import build
from pipeline.sae.build import bytes_of, passes
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary, save_dictionary
from pipeline.sae.settings import SAESettings, Variation
from tests.support.settings import recommended

D_MODEL = 12


class Store:
    """As much of an ActivationStore as building a dictionary needs."""

    def __init__(self, rows: int = 600) -> None:
        self.acts = torch.randn(rows, D_MODEL, generator=torch.Generator().manual_seed(0)) * 3 + 2
        self.n_tokens, self.d_model = self.acts.shape
        self.mean_d = self.acts.mean(0).double().numpy()
        self.var_d = self.acts.double().var(0).numpy()
        self.mean_norm = float(self.acts.norm(dim=1).mean())
        self.attributes = {"model": {"id": "tiny"}, "hook_point": "blocks.1.hook_resid_post", "layer": 1}

    def rows(self, start: int, stop: int) -> torch.Tensor:
        return self.acts[start:stop]


class Loader:
    def __init__(self, store: Store, batch_size: int, *_args, **_ranks) -> None:
        self.store, self.batch_size, self.position = store, batch_size, {"row": 0}

    def __next__(self) -> torch.Tensor:
        rows = (self.position["row"] + np.arange(self.batch_size)) % self.store.n_tokens
        self.position = {"row": int(rows[-1]) + 1}
        return self.store.acts[rows]


@pytest.fixture
def in_memory(monkeypatch):
    monkeypatch.setattr(build, "ActivationLoader", Loader)


MACHINE = recommended(MachineSettings, loader_memory_mib=100)
SETTINGS = recommended(
    SAESettings, d_sae=30, k=4, steps=40, batch_size=64, warm_up_steps=5, checkpoint_every=15, correlation_every=20
)


def test_the_folder_holds_the_dictionary_and_its_curves_and_nothing_to_resume(in_memory, tmp_path):
    store = Store()
    final = build.build_dictionary(store, SETTINGS, MACHINE, 0, "cpu", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cfg.json",
        "sae_weights.safetensors",
        "snapshots",
        "training.json",
    ]
    training = read_json(tmp_path / "training.json")
    assert [row["step"] for row in training["curves"]] == [10, 15, 20, 30, 40]
    assert [row["step"] for row in training["snapshots"]] == [20, 40]
    assert training["settings"]["k"] == 4
    assert training["final"] == final | {"d_sae": 30}
    error = (load_dictionary(tmp_path)(store.acts) - store.acts).square().sum()
    variance = (store.acts - store.acts.mean(0)).square().sum()
    assert final["explained_variance"] == pytest.approx(1 - float(error / variance), abs=1e-5)
    assert read_json(tmp_path / "cfg.json")["metadata"]["hook_name"] == "blocks.1.hook_resid_post"


ALSO = (Variation(seed=1), Variation(k=2, tree_penalty=0.01), Variation(architecture="relu", l1=0.01))


@pytest.mark.parametrize("memory_mib", [4096, 1], ids=["one pass", "several passes"])
def test_dictionaries_of_one_pass_are_those_trained_alone(memory_mib, in_memory, tmp_path, monkeypatch):
    if memory_mib == 1:  # room for two of these small dictionaries
        monkeypatch.setattr(build, "bytes_of", lambda *_: 1 << 19)
    settings, machine = SETTINGS.but(also=ALSO), MACHINE.but(sae_memory_mib=memory_mib)
    build.build_dictionary(Store(), settings, machine, 0, "cpu", tmp_path / "together")
    for number, variation in enumerate(ALSO):
        place, alone = tmp_path / "together/also" / str(number), tmp_path / str(number)
        build.build_dictionary(Store(), SETTINGS.varied(variation), MACHINE, variation.seed or 0, "cpu", alone)
        assert sorted(path.name for path in place.iterdir()) == sorted(path.name for path in alone.iterdir())
        ours, theirs = load_dictionary(place), load_dictionary(alone)
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
        assert read_json(place / "training.json")["final"] == read_json(alone / "training.json")["final"]


def test_finished_passes_are_not_trained_again(in_memory, tmp_path, monkeypatch):
    settings, machine = SETTINGS.but(also=(Variation(seed=1),)), MACHINE.but(sae_memory_mib=1)
    monkeypatch.setattr(build, "bytes_of", lambda *_: 1 << 20)
    trained = []
    real = build.train

    def fails_at_the_second(trainers, loader, folders):
        trained.append(folders)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(trainers, loader, folders)

    monkeypatch.setattr(build, "train", fails_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        build.build_dictionary(Store(), settings, machine, 0, "cpu", tmp_path)
    build.build_dictionary(Store(), settings, machine, 0, "cpu", tmp_path)
    assert trained == [[tmp_path], [tmp_path / "also/0"], [tmp_path / "also/0"]]


@pytest.mark.parametrize(
    ("needs", "groups"),
    [
        ([3], [[0]]),
        ([3, 3, 4], [[0, 1, 2]]),
        ([3, 3, 5], [[0, 1], [2]]),
        ([30, 3, 30], [[0], [1], [2]]),  # one that is too large goes alone rather than not at all
    ],
)
def test_passes_hold_what_fits(needs, groups):
    assert passes(needs, 10) == groups


def test_memory_of_a_dictionary_by_hand():
    """2 matrices [2, 3] with gradient and 2 moments; pre-activations [5, 2] and a mask; 2 products [2, 2]."""
    settings = recommended(SAESettings, d_sae=2, k=1, batch_size=5)
    assert bytes_of(settings, 3) == 2 * 4 * 2 * 3 * 4 + 5 * 2 * (4 + 1) + 2 * 2 * 2 * 8


@pytest.mark.parametrize(
    ("also", "reason"),
    [({"k": 31}, "k is 31; it must lie between 1 and d_sae"), ({"steps": 3}, r"unknown key `sae.also\[0\].steps`")],
)
def test_an_impossible_variation_is_refused(also, reason):
    with pytest.raises(PipelineError, match=reason):
        parse(SAESettings, recommended(SAESettings).plain() | {"d_sae": 30, "also": [also]}, "sae")


def pretrained(folder, d_model: int) -> str:
    rows = torch.nn.functional.normalize(torch.randn(20, d_model, generator=torch.Generator().manual_seed(1)), dim=1)
    save_dictionary(folder, Dictionary(rows.T, torch.zeros(20), rows, torch.zeros(d_model)), {"model_name": "tiny"})
    return str(folder)


def test_a_pretrained_dictionary_takes_the_place_of_training(tmp_path):
    source = pretrained(tmp_path / "theirs", D_MODEL)
    settings = recommended(SAESettings, pretrained=source)
    final = build.build_dictionary(Store(), settings, MACHINE, 0, "cpu", tmp_path / "ours")
    assert final["l0"] > 1
    ours, theirs = load_dictionary(tmp_path / "ours"), load_dictionary(tmp_path / "theirs")
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert read_json(tmp_path / "ours/training.json")["curves"] == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("theirs", "reads activations of width 7, but the store's have width 12"),
        ("nowhere", r"nowhere does not exist \(on the hub it would be repository:folder\)"),
    ],
)
def test_a_pretrained_dictionary_that_does_not_fit_is_refused(source, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pretrained(tmp_path / "theirs", 7)
    with pytest.raises(PipelineError, match=reason):
        settings = recommended(SAESettings, pretrained=source)
        build.build_dictionary(Store(), settings, MACHINE, 0, "cpu", tmp_path / "ours")


def test_a_dictionary_on_the_hub_without_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    source = "google/gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_82"
    with pytest.raises(PipelineError, match=r"cannot be fetched .*with no network, give a folder on this machine"):
        settings = recommended(SAESettings, pretrained=source)
        build.build_dictionary(Store(), settings, MACHINE, 0, "cpu", tmp_path / "ours")
