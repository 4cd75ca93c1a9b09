"""Before any stage runs: files, model folders and hub ids that cannot be read are refused in one sentence."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from pipeline.core.errors import PipelineError
from pipeline.corpus import hub, sources
from pipeline.corpus.settings import CorpusSettings, ProbeSource, TextSource
from pipeline.corpus.sources import check_sources, is_folder, local_files
from tests.support.settings import recommended


def files(folder: Path, name: str) -> CorpusSettings:
    text = TextSource(file=name)
    return recommended(
        CorpusSettings,
        source="files",
        folder=str(folder),
        training_text=(text,),
        texts=(text,),
        probes=(ProbeSource(file=name),),
    )


def hub_ids() -> CorpusSettings:
    text, probe = TextSource(dataset="owner/texts", name="all"), ProbeSource(dataset="owner/probes")
    return recommended(CorpusSettings, source="files", training_text=(text,), texts=(text,), probes=(probe,))


def test_the_embedded_world_and_its_own_model_need_nothing() -> None:
    check_sources(recommended(CorpusSettings), "train", None)


def test_local_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "empty.jsonl").touch()
    check_sources(files(tmp_path, "a.jsonl"), "train")
    assert local_files(files(tmp_path, "a.jsonl")) == [tmp_path / "a.jsonl"]
    with pytest.raises(PipelineError, match=r"empty\.jsonl is empty"):
        check_sources(files(tmp_path, "empty.jsonl"), "train")
    with pytest.raises(PipelineError, match=r"none\.jsonl is missing; put it there or change `corpus\.folder`"):
        check_sources(files(tmp_path, "none.jsonl"), "train")


def test_a_model_folder_needs_config_tokenizer_and_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for lacking, add in (
        ("is missing", None),
        ("has no config.json", "."),
        ("has no tokenizer.json, the file of a fast tokenizer", "config.json"),
        ("has no weights", "tokenizer.json"),
    ):
        if add:
            folder.mkdir(exist_ok=True)
            (folder / add).is_dir() or (folder / add).touch()
        with pytest.raises(PipelineError, match=f"model folder .* {lacking}"):
            check_sources(recommended(CorpusSettings), str(folder))
    (folder / "model.safetensors").touch()
    check_sources(recommended(CorpusSettings), str(folder))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("train", False),
        ("google/gemma-2-2b", False),
        ("gpt2", False),
        ("/models/mine", True),
        ("./mine", True),
        ("~/mine", True),
        ("models/of/mine", True),  # a hub id has at most one slash
    ],
)
def test_what_is_a_folder(source: str, expected: bool) -> None:
    assert is_folder(source) is expected


def response(status: int) -> Any:
    """As much of an answer of the hub as its errors look at."""
    return SimpleNamespace(status_code=status, headers={}, request=None)


@pytest.mark.parametrize(
    ("fails_for", "error", "sentence"),
    [
        (
            "google/gemma-2-2b",
            lambda: errors.GatedRepoError("gated", response=response(401)),
            "model google/gemma-2-2b is gated: accept its conditions at https://huggingface.co/google/gemma-2-2b, "
            "then set HF_TOKEN",
        ),
        (
            "owner/texts",
            lambda: errors.GatedRepoError("gated", response=response(403)),
            "dataset owner/texts is gated: accept its conditions at https://huggingface.co/datasets/owner/texts",
        ),
        (
            "owner/probes",
            lambda: errors.RepositoryNotFoundError("no", response=response(401)),
            "dataset owner/probes is not on the hub, or is private",
        ),
        (
            "google/gemma-2-2b",
            lambda: ConnectionError("no network"),
            "cannot reach https://huggingface.co (ConnectionError), from which this run reads model google/gemma-2-2b, "
            "dataset owner/texts, dataset owner/probes: connect",
        ),
        (
            "google/gemma-2-2b",
            lambda: errors.RemoteEntryNotFoundError("no", response=response(404)),
            "model google/gemma-2-2b has no config.json",
        ),
        ("owner/texts", lambda: errors.RemoteEntryNotFoundError("no", response=response(404)), None),  # no README
    ],
)
def test_hub_ids(monkeypatch: pytest.MonkeyPatch, fails_for: str, error: Any, sentence: str | None) -> None:
    asked = []

    def head(url: str, timeout: float) -> None:
        asked.append(url)
        if f"/{fails_for}/" in url:
            raise error()

    monkeypatch.setattr(sources, "get_hf_file_metadata", head)
    monkeypatch.setattr(sources, "is_offline_mode", lambda: False)
    if sentence is None:
        check_sources(hub_ids(), "google/gemma-2-2b")
        assert asked == [
            "https://huggingface.co/google/gemma-2-2b/resolve/main/config.json",
            "https://huggingface.co/datasets/owner/texts/resolve/main/README.md",
            "https://huggingface.co/datasets/owner/probes/resolve/main/README.md",
        ]
        return
    with pytest.raises(PipelineError) as refused:
        check_sources(hub_ids(), "google/gemma-2-2b")
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_failing_data_set_carries_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise ValueError("Bad split: train. Available splits: ['test']\nmore")

    monkeypatch.setattr(hub.datasets, "load_dataset", load)
    monkeypatch.setattr(hub, "offline", lambda: False)
    with pytest.raises(
        PipelineError, match=r"cannot read data set owner/texts \(all, train\): Bad split: train"
    ) as error:
        list(hub.read_dataset(TextSource(dataset="owner/texts", name="all")))
    assert "https://huggingface.co/datasets/owner/texts" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_template_that_cannot_be_filled_is_refused_before_any_stage(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    good = files(tmp_path, "a.jsonl")
    for change, where in (
        ({"texts": (TextSource(file="a.jsonl", template="{text"),)}, "has a stray brace"),
        ({"training_text": (TextSource(file="a.jsonl", template="no column"),)}, "names no column"),
        ({"probes": (ProbeSource(file="a.jsonl", prompt="{question:>9}"),)}, "asks for a format of `question`"),
    ):
        with pytest.raises(PipelineError, match=rf"a\.jsonl: the template .* {where}"):
            check_sources(good.but(**change), "train")


def test_a_data_set_that_is_a_script_is_refused_and_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def load(*_: Any, trust_remote_code: bool | None = None, **__: Any) -> None:
        told.append(trust_remote_code)
        raise ValueError("Please pass the argument `trust_remote_code=True` to allow custom code to be run.")

    monkeypatch.setattr(hub.datasets, "load_dataset", load)
    monkeypatch.setattr(hub.datasets, "load_dataset_builder", load)
    monkeypatch.setattr(hub, "offline", lambda: True)
    source = TextSource(dataset="owner/texts")
    for read in (lambda: list(hub.read_dataset(source)), lambda: hub.commit(source)):
        with pytest.raises(PipelineError, match="it is a script, and code from the hub is not run"):
            read()
    assert not hub.cached(source)
    assert told == [False, False, False]
