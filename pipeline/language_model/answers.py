"""How well a model answers probes: cloze over the whole vocabulary, and the choice among four options.

An option's score is the mean log-probability of its tokens after the prompt. Cloze is the share of the true answer's
tokens that are the most probable of the whole vocabulary (teacher forcing; "exact memorisation" in open-unlearning): for
one-token answers, plain top-1 accuracy.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

LogitsOf = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Question(NamedTuple):
    """A probe as tokens: one input for every distinct ``prompt + option`` without the option's last token."""

    inputs: tuple[tuple[int, ...], ...]
    option_tokens: tuple[tuple[int, ...], ...]
    input_of_option: tuple[int, ...]
    answer: int
    n_prompt: int


class Answers(NamedTuple):
    """Per probe, in order: share of answer tokens ranked first, choice right or not, chosen-option scores."""

    cloze_q: torch.Tensor
    choice_q: torch.Tensor
    scores_qo: torch.Tensor


def tokenize(probe: dict, tokenizer: PreTrainedTokenizerBase) -> Question:
    """Tokens of one probe. One-token options share a single input, the prompt."""
    prompt = tokenizer(probe["prompt"])["input_ids"]
    options = [tuple(tokenizer(" " + text, add_special_tokens=False)["input_ids"]) for text in probe["options"]]
    inputs = [tuple(prompt) + option[:-1] for option in options]
    distinct = tuple(dict.fromkeys(inputs))
    places = tuple(distinct.index(tokens) for tokens in inputs)
    return Question(distinct, tuple(options), places, probe["options"].index(probe["answer"]), len(prompt))


def ask(questions: Sequence[Question], logits_of: LogitsOf, pad: int, batch_tokens: int = 8192) -> Answers:
    """Answer all questions. ``logits_of(input_ids_bt, attention_mask_bt)`` gives logits [b, t, v]; padding is right.

    Inputs are batched by length, at most ``batch_tokens`` tokens a batch.
    """
    rows = [(q, i, tokens) for q, question in enumerate(questions) for i, tokens in enumerate(question.inputs)]
    n_options = max(len(question.option_tokens) for question in questions)
    scores = torch.full((len(questions), n_options), -torch.inf, dtype=torch.float64)
    cloze = torch.zeros(len(questions), dtype=torch.float64)
    for batch in batches_by_length(rows, [len(tokens) for _, _, tokens in rows], batch_tokens):
        ids_bt, mask_bt = pad_right([tokens for _, _, tokens in batch], pad)
        logprobs = logits_of(ids_bt, mask_bt).float().log_softmax(-1).cpu()
        for row, (q, i, _) in zip(logprobs, batch, strict=True):
            question = questions[q]
            for o, option in enumerate(question.option_tokens):
                if question.input_of_option[o] != i:
                    continue
                at = row[question.n_prompt - 1 : question.n_prompt - 1 + len(option)]
                wanted = torch.tensor(option)
                scores[q, o] = at.gather(1, wanted[:, None]).double().mean()
                if o == question.answer:
                    cloze[q] = (at.argmax(-1) == wanted).double().mean()
    right = torch.tensor([question.answer for question in questions])
    return Answers(cloze, (scores.argmax(1) == right).double(), scores)


def batches_by_length(rows: Sequence, lengths: Sequence[int], batch_tokens: int) -> Iterator[list]:
    """Rows in batches of similar length, each at most ``batch_tokens`` after padding (but at least one row)."""
    batch: list = []
    for i in sorted(range(len(rows)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[i] > batch_tokens:
            yield batch
            batch = []
        batch.append(rows[i])
    if batch:
        yield batch


def pad_right(sequences: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, [b, t] each."""
    width = max(map(len, sequences))
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(sequences):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask
