"""How well a model answers probes: cloze over the whole vocabulary, and the choice among four options.

An option's score is the mean log-probability of its tokens after the prompt. Cloze is the share of the true answer's
tokens that are the most probable of the whole vocabulary (teacher forcing; "exact memorisation" in open-unlearning):
for one-token answers, plain top-1 accuracy.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Question(NamedTuple):
    """A probe as tokens: one input for every distinct ``prompt + option`` without the option's last token."""

    inputs: tuple[tuple[int, ...], ...]
    option_tokens: tuple[tuple[int, ...], ...]
    input_of_option: tuple[int, ...]
    answer: int
    n_prompt: int


class InputBatch(NamedTuple):
    """Inputs that run together; ``rows`` says which input of which question each row is."""

    rows: list[tuple[int, int]]
    ids_bt: torch.Tensor
    mask_bt: torch.Tensor


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


def plan(questions: Sequence[Question], pad: int, batch_tokens: int = 8192) -> list[InputBatch]:
    """The distinct inputs of all questions in batches of similar length, padded on the right."""
    rows = [(q, i) for q, question in enumerate(questions) for i in range(len(question.inputs))]
    tokens = [questions[q].inputs[i] for q, i in rows]
    return [
        InputBatch([rows[k] for k in batch], *pad_right([tokens[k] for k in batch], pad))
        for batch in batches_by_length([len(row) for row in tokens], batch_tokens)
    ]


def answer(questions: Sequence[Question], batches: Sequence[InputBatch], logits: Iterable[torch.Tensor]) -> Answers:
    """Score all questions from the logits [b, t, v] of their planned batches, in order."""
    n_options = max(len(question.option_tokens) for question in questions)
    scores = torch.full((len(questions), n_options), -torch.inf, dtype=torch.float64)
    cloze = torch.zeros(len(questions), dtype=torch.float64)
    for batch, logits_btv in zip(batches, logits, strict=True):
        for row, (q, i) in enumerate(batch.rows):
            question = questions[q]
            first = question.n_prompt - 1  # the logits there are for the option's first token
            longest = max(
                len(o) for o, of in zip(question.option_tokens, question.input_of_option, strict=True) if of == i
            )
            logprobs_tv = logits_btv[row, first : first + longest].float().log_softmax(-1).cpu()
            for o, option in enumerate(question.option_tokens):
                if question.input_of_option[o] != i:
                    continue
                wanted = torch.tensor(option)
                at_tv = logprobs_tv[: len(option)]
                scores[q, o] = at_tv.gather(1, wanted[:, None]).double().mean()
                if o == question.answer:
                    cloze[q] = (at_tv.argmax(-1) == wanted).double().mean()
    right = torch.tensor([question.answer for question in questions])
    return Answers(cloze, (scores.argmax(1) == right).double(), scores)


@torch.no_grad()
def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: Sequence[dict]) -> Answers:
    """Put the probes to a model as it is."""
    questions = [tokenize(probe, tokenizer) for probe in probes]
    batches = plan(questions, tokenizer.pad_token_id)
    device = model.device
    logits = (model(input_ids=b.ids_bt.to(device), attention_mask=b.mask_bt.to(device)).logits for b in batches)
    return answer(questions, batches, logits)


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Numbers of rows in batches of similar length, at most ``batch_tokens`` after padding (at least one row)."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
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
