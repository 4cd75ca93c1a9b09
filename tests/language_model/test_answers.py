"""Scoring of probes: hand-worked logits, options of several tokens, batches that lose no question."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pipeline.language_model.answers import answer, batches_by_length, pad_right, plan, tokenize

WORDS = ["<pad>", "<bos>", "<unk>", "sky", "is", "blue", "red", "very"]


@pytest.fixture
def tokenizer():
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", unk_token="<unk>")


def logits_that_say(batch, sayings: dict[tuple[int, ...], str]) -> torch.Tensor:
    """Logits [n, v] at the asked places that give probability ~1 to one word after each known prefix."""
    out = torch.zeros(*batch.ids_bt.shape, len(WORDS))
    for row, ids in enumerate(batch.ids_bt.tolist()):
        for t in range(len(ids)):
            word = sayings.get(tuple(ids[: t + 1]))
            if word:
                out[row, t, WORDS.index(word)] = 20.0
    return out[batch.asked.row_n, batch.asked.position_n]


def test_one_token_options_share_one_input(tokenizer):
    probe = {"prompt": "sky is", "answer": "blue", "options": ["red", "blue"]}
    question = tokenize(probe, tokenizer)
    assert question.inputs == ((3, 4),)
    assert question.answer == 1


@pytest.mark.parametrize(
    ("said", "cloze", "choice"),
    [
        ("blue", 1.0, 1.0),  # right
        ("red", 0.0, 0.0),  # the wrong option
        ("very", 0.0, None),  # a word that is no option: cloze fails, the choice is a tie
    ],
)
def test_cloze_is_over_the_vocabulary_and_choice_over_the_options(tokenizer, said, cloze, choice):
    questions = [tokenize({"prompt": "sky is", "answer": "blue", "options": ["red", "blue"]}, tokenizer)]
    batches = plan(questions, pad=0)
    answers = answer(questions, batches, [logits_that_say(b, {(3, 4): said}) for b in batches])
    assert answers.cloze_q.tolist() == [cloze]
    if choice is not None:
        assert answers.choice_q.tolist() == [choice]


def test_an_option_of_two_tokens_scores_the_mean_and_cloze_the_share(tokenizer):
    questions = [tokenize({"prompt": "sky is", "answer": "very blue", "options": ["red", "very blue"]}, tokenizer)]
    assert questions[0].inputs == ((3, 4), (3, 4, 7))
    batches = plan(questions, pad=0)
    logits = [logits_that_say(b, {(3, 4): "very", (3, 4, 7): "red"}) for b in batches]
    answers = answer(questions, batches, logits)
    assert answers.cloze_q.tolist() == [0.5], "the first token is right, the second is not"
    uniform = -torch.tensor(20.0).exp().add(len(WORDS) - 1).log().item()  # log-probability of an unlikely token
    assert answers.scores_qo[0, 1].item() == pytest.approx(uniform / 2, rel=1e-5)
    assert answers.scores_qo[0, 0].item() == pytest.approx(uniform, rel=1e-5)


def test_batches_hold_every_row_once_and_stay_below_the_limit():
    lengths = [3, 9, 1, 4, 4, 20, 2]
    batches = list(batches_by_length(lengths, batch_tokens=10))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 10


def test_padding_is_on_the_right_and_masked():
    ids, mask = pad_right([[5, 6], [7]], pad=0)
    assert ids.tolist() == [[5, 6], [7, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]
