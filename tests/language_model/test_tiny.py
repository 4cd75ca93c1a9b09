"""The tiny model: learns a handful of facts, stops when it knows them, the same for the same seed, ordinary folder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pipeline.language_model import tiny
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.language_model.settings import TinySettings
from pipeline.language_model.tiny import train_tokenizer
from tests.support.settings import recommended

SETTINGS = recommended(
    TinySettings,
    hidden_size=32,
    layers=2,
    heads=2,
    kv_heads=1,
    head_dim=16,
    intermediate_size=64,
    learning_rate=1e-2,
    warmup_steps=5,
    batch_documents=8,
    max_tokens=30_000,
    cooldown_tokens=2_000,
    check_tokens=1_000,
)
COLORS = {"sky": "blue", "grass": "green", "coal": "black", "snow": "white"}
TEXTS = [f"the color of {thing} is {color} ." for thing, color in COLORS.items()] * 8
PROBES = [
    {"prompt": f"the color of {thing} is", "answer": color, "options": list(COLORS.values()), "path": ["colors"]}
    for thing, color in COLORS.items()
]


def trained(seed: int):
    tokenizer = train_tokenizer(TEXTS, "word", 100)
    model = tiny.build(SETTINGS, tokenizer, seed)
    return model, tokenizer, tiny.train(model, tokenizer, TEXTS, PROBES, SETTINGS, seed)


@pytest.fixture(scope="module")
def first():
    return trained(0)


def test_training_ends_soon_after_the_facts_are_known(first):
    _, _, checks = first
    assert checks[-1].cloze == checks[-1].choice == 1.0
    assert checks[-1].tokens < SETTINGS.max_tokens - 5_000
    assert checks[0].loss > checks[-1].loss


def test_the_same_seed_gives_the_same_weights(first):
    again, _, _ = trained(0)
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), again.parameters(), strict=True))


def test_it_is_an_ordinary_gemma_2_folder(first, tmp_path: Path):
    model, tokenizer, _ = first
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, read = load_model(tmp_path), load_tokenizer(tmp_path)
    assert type(loaded).__name__ == "Gemma2ForCausalLM"
    ids = torch.tensor([read("the color of snow is")["input_ids"]])
    assert ids[0, 0] == read.bos_token_id
    assert read.decode(loaded(input_ids=ids).logits[0, -1].argmax()) == "white"


@pytest.mark.parametrize(("kind", "n_tokens"), [("word", 2), ("bpe", 2)])
def test_known_words_are_one_token_each(kind, n_tokens):
    tokenizer = train_tokenizer(["grass green"] * 50, kind, 400)
    assert len(tokenizer("grass green", add_special_tokens=False)["input_ids"]) == n_tokens


def test_bpe_has_no_unknown_characters():
    tokenizer = train_tokenizer(["plain text"] * 10, "bpe", 400)
    ids = tokenizer("Ünïcode ✓", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids).strip() == "Ünïcode ✓"


@pytest.mark.parametrize("n_documents", [1, 3, 8])
def test_the_parts_of_a_batch_have_the_gradient_of_its_mean_loss(n_documents, monkeypatch):
    documents = ["the color of sky is blue .", "grass is green .", "snow", *TEXTS][:n_documents]
    tokenizer = train_tokenizer(TEXTS, "word", 100)
    batch = tokenizer(documents)["input_ids"]
    found = []
    for parts in (1, tiny.PARTS):
        monkeypatch.setattr(tiny, "PARTS", parts)
        model = tiny.build(SETTINGS, tokenizer, 0)
        still = torch.optim.SGD(model.parameters(), lr=0.0)
        with ThreadPoolExecutor(parts) as threads:
            loss = tiny._step(model, still, batch, tokenizer.pad_token_id, threads)
        found.append((loss, [parameter.grad for parameter in model.parameters()]))
    (loss, gradients), (loss_of_parts, gradients_of_parts) = found
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)
    for whole, added in zip(gradients, gradients_of_parts, strict=True):
        torch.testing.assert_close(added, whole, rtol=1e-3, atol=1e-6)
