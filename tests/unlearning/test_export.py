"""Exported models answer as the edited one does, by transformers alone; what cannot be exported is refused."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.core.errors import PipelineError
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import save_dictionary
from pipeline.unlearning.apply import swapped
from pipeline.unlearning.edit import no_edit, save_edit
from pipeline.unlearning.export import export_edit, find_edit
from tests.support.tiny_lm import gemma, save_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A model, a dictionary, and an edit of weights for two levels."""
    save_model(tmp_path / "model")
    eye = torch.eye(16)
    save_dictionary(tmp_path / "sae", Dictionary(eye, torch.zeros(16), eye.clone(), torch.zeros(16)), {})
    weights = {"model.norm.weight": torch.linspace(-1, 1, 16)}
    for level in ("topic", "entity"):
        save_edit(
            tmp_path / "unlearning/npo" / level, no_edit(level, ("d",), 1)._replace(method="npo", weights=weights)
        )
    save_edit(tmp_path / "unlearning/rmu/topic", no_edit("topic", ("d",), 1)._replace(method="rmu"))
    return tmp_path


def test_a_freshly_loaded_export_answers_as_measured(data: Path) -> None:
    out = data / "exported"
    export_edit(find_edit(data / "unlearning", "npo/topic"), data / "model", data / "sae", out)
    ids = AutoTokenizer.from_pretrained(out)("w1 w2 w3", return_tensors="pt")["input_ids"]
    model, exported = gemma(), AutoModelForCausalLM.from_pretrained(out)
    with torch.no_grad():
        before = model(ids).logits
        with swapped(model, {"model.norm.weight": torch.linspace(-1, 1, 16)}):
            wanted = model(ids).logits
        got = exported(ids).logits
    assert torch.allclose(got, wanted, atol=1e-5)
    assert not torch.allclose(got, before, atol=1e-2)
    assert not list(data.glob(".exported*")), "nothing half written is left"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("npo", "belongs to several levels.*npo/entity, npo/topic"),
        ("gpo", "is no edit.*rmu/topic"),
        ("npo/domain", "is no edit"),
    ],
)
def test_a_name_must_mean_one_edit(data: Path, name: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        find_edit(data / "unlearning", name)


def test_a_hook_is_not_exported_and_a_full_folder_not_touched(data: Path) -> None:
    hook = find_edit(data / "unlearning", "rmu")
    with pytest.raises(PipelineError, match="acts through a hook"):
        export_edit(hook, data / "model", data / "sae", data / "exported")
    assert not (data / "exported").exists()
    with pytest.raises(PipelineError, match="is not an empty folder"):
        export_edit(find_edit(data / "unlearning", "npo/topic"), data / "model", data / "sae", data / "model")
    file = data / "model" / "config.json"
    for out, said in (
        (file, "is not an empty folder"),
        (file / "exported", "cannot be written .*; name another folder"),
    ):
        with pytest.raises(PipelineError, match=said):
            export_edit(find_edit(data / "unlearning", "npo/topic"), data / "model", data / "sae", out)
