"""What an edit is held to have cost, and how much text is read for it."""

import torch

from pipeline.unlearning.bench import Outcome
from pipeline.unlearning.damage import lost
from pipeline.unlearning.subject import Subject
from tests.support.tiny_lm import WORDS, word_tokenizer


def outcome(cloze: list[float], choice: list[float]) -> Outcome:
    return Outcome(torch.tensor(cloze), torch.tensor(choice), torch.zeros(1))


def test_a_model_that_completes_what_it_knows_loses_completions() -> None:
    stays = torch.tensor([False, True, True])
    before, after = outcome([0.0, 1.0, 0.0], [1.0, 1.0, 1.0]), outcome([0.0, 0.0, 0.0], [0.0, 1.0, 1.0])
    assert lost(before, after, stays).tolist() == [0.0, 1.0, 0.0]


def test_one_that_seldom_does_loses_choices() -> None:
    stays = torch.tensor([False, True, True])
    before, after = outcome([1.0, 0.4, 0.0], [1.0, 1.0, 1.0]), outcome([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    assert lost(before, after, stays).tolist() == [1.0, 0.0, 1.0]


def test_nothing_that_stays_is_judged_by_completions() -> None:
    before, after = outcome([0.2], [1.0]), outcome([0.0], [1.0])
    assert lost(before, after, torch.tensor([False])).tolist() == [torch.tensor(0.2).item()]


def test_more_text_than_is_asked_for_is_drawn_from() -> None:
    tokenizer = word_tokenizer()
    subject = Subject(None, tokenizer, None, 0, 16, [], [], {})
    texts = [{"text": " ".join(WORDS[: 3 + i % 5]), "number": i} for i in range(30)]
    lengths = [len(tokenizer(row["text"])["input_ids"]) for row in texts]
    assert subject.some(texts, sum(lengths), 0) == texts
    some = subject.some(texts, 60, 0)
    assert 50 < sum(lengths[row["number"]] for row in some) <= 60
    assert [row["number"] for row in some] == sorted(row["number"] for row in some)
    assert subject.some(texts, 60, 1) != some == subject.some(texts, 60, 0)
