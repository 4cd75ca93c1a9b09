"""`ask` on a made-up run: likeliest tokens and greedy text, before and after; a sentence for what cannot be asked."""

import shutil
from pathlib import Path

import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.processes import MachineSettings
from pipeline.core.yaml_text import as_yaml
from pipeline.inspection.asking import ask
from pipeline.language_model.completions import LENGTH, LIKELIEST, complete
from pipeline.language_model.loading import load_model
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import save_dictionary
from pipeline.unlearning.edit import clamped, no_edit, save_edit
from tests.support.settings import recommended
from tests.support.tiny_lm import gemma, loud, save_model, word_tokenizer

PROMPT = "w3 w4 w5"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a dictionary, an edit of weights, one of the stream, and one that changes nothing."""
    data = tmp_path_factory.mktemp("project") / "data"
    model = save_model(data / "model", loud(gemma())) and load_model(data / "model")
    torch.manual_seed(0)
    dictionary = Dictionary(torch.randn(16, 24), torch.zeros(24), torch.randn(24, 16), torch.zeros(16))
    save_dictionary(data / "sae", dictionary, {"hook_name": "blocks.1.hook_resid_post"})
    name, weight = list(model.named_parameters())[-2]
    nothing = no_edit("topic", ("d", "t"), 1)
    clamp = clamped("subtree", "topic", ("d", "t"), 1, [list(range(24))], torch.ones(24), 5.0, {})
    for method, edit in (("npo", nothing._replace(weights={name: -weight})), ("subtree", clamp), ("none", nothing)):
        save_edit(data / "unlearning" / method / "topic", edit._replace(method=method))
    (data / "params.yaml").write_text(as_yaml({"machine": recommended(MachineSettings, device="cpu").plain()}))
    return data


def test_one_edit_is_shown_side_by_side(data: Path) -> None:
    found = ask(data, PROMPT, "subtree/topic")
    assert (found["edit"], found["target"]) == ("subtree/topic", "d / t")
    rows = found["next token"]
    assert [row["rank"] for row in rows] == list(range(1, LIKELIEST + 1))
    assert rows == sorted(rows, key=lambda row: -row["p before"]) == sorted(rows, key=lambda row: -row["p after"])
    before, after = found["goes on"]
    assert before["text"] != after["text"]
    model = load_model(data / "model")
    ids = torch.tensor([word_tokenizer()(PROMPT)["input_ids"]])
    greedy = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=LENGTH, do_sample=False, pad_token_id=0, eos_token_id=1
    )[0, ids.shape[1] :]
    assert before["text"] == word_tokenizer().decode(greedy, skip_special_tokens=True), "as transformers generates it"
    assert rows[0]["before"] == word_tokenizer().decode(greedy[:1])


def test_all_edits_are_rows_of_a_table_and_the_model_is_itself_between_them(data: Path) -> None:
    rows = {row.pop("edit"): row for row in ask(data, PROMPT, None)["edits"]}
    assert list(rows) == ["no edit", "none/topic", "npo/topic", "subtree/topic"]
    assert rows["none/topic"] == rows["no edit"] != rows["npo/topic"] != rows["subtree/topic"] != rows["no edit"]
    assert rows["npo/topic"] == next(r for r in ask(data, PROMPT, None)["edits"] if r.pop("edit") == "npo/topic")


@pytest.mark.parametrize(
    ("prompt", "edit", "sentence"),
    [
        (PROMPT, "subtre/topic", "there is no edit `subtre/topic` in .*; did you mean `subtree/topic`?"),
        (PROMPT, "zzz", "there is no edit `zzz` in .*; known are none/topic, npo/topic, subtree/topic"),
        (PROMPT, "npo", "there is no edit `npo` in .*; name its level too: npo/topic"),
        ("  ", "npo/topic", "the prompt is empty; give the beginning of a sentence"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(data: Path, prompt: str, edit: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        ask(data, prompt, edit)


def test_a_run_without_edits_shows_the_model_alone(data: Path, tmp_path: Path) -> None:
    for name in ("model", "sae", "params.yaml"):
        (shutil.copytree if (data / name).is_dir() else shutil.copy)(data / name, tmp_path / name)
    assert [row["edit"] for row in ask(tmp_path, PROMPT, None)["edits"]] == ["no edit"]


def test_a_prompt_longer_than_the_model_reads_is_refused() -> None:
    with pytest.raises(PipelineError, match="has 41 tokens and the answer 12, but the model reads at most 48"):
        complete(gemma(max_position_embeddings=48), word_tokenizer(), " ".join(["w1"] * 40))


def test_words_that_the_model_does_not_know_are_counted(data: Path) -> None:
    assert "note" not in ask(data, PROMPT, "none/topic")
    assert ask(data, f"{PROMPT} capital Italy", "none/topic")["note"] == "2 of 5 tokens are unknown to this model"
