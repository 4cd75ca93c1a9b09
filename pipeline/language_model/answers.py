"""How well a model answers probes: cloze over the whole vocabulary, and the choice among four options.

An option's tokens are those that the text ``prompt + " " + option`` has behind the prompt's; its score is their mean
log-probability. Cloze is the share of the true answer's tokens that are the most probable of the whole vocabulary
(teacher forcing; "exact memorisation" in open-unlearning): for one-token answers, plain top-1 accuracy. The product
with the vocabulary is taken where it is asked for only: a probe needs one place of twenty.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.errors import PipelineError
from pipeline.language_model.checks import max_positions, vocabulary_size
from pipeline.language_model.loading import leading_tokens
from pipeline.language_model.wide_head import Pass, logprobs_at, pass_of


class Question(NamedTuple):
    """A probe as tokens: one input for every distinct ``prompt + option`` without the option's last token."""

    inputs: tuple[tuple[int, ...], ...]
    option_tokens: tuple[tuple[int, ...], ...]
    input_of_option: tuple[int, ...]
    answer: int
    n_prompt: int

    @property
    def answered(self) -> tuple[int, ...]:
        """The prompt with its right answer."""
        return self.inputs[self.input_of_option[self.answer]] + self.option_tokens[self.answer][-1:]


class Asked(NamedTuple):
    """The n places of a batch whose next token matters, and the m option tokens that are looked up there."""

    row_n: torch.Tensor
    position_n: torch.Tensor
    place_m: torch.Tensor  # into n
    token_m: torch.Tensor
    question_m: torch.Tensor
    option_m: torch.Tensor
    share_m: torch.Tensor  # 1 / number of the option's tokens; float64

    def to(self, device: torch.device) -> "Asked":
        return Asked(*(tensor.to(device) for tensor in self))


class InputBatch(NamedTuple):
    """Inputs that run together; ``rows`` says which input of which question (or which text, 0) each row is."""

    rows: list[tuple[int, int]]
    ids_bt: torch.Tensor
    mask_bt: torch.Tensor


class ExamBatch(NamedTuple):
    """An ``InputBatch`` of questions, with what is asked of it."""

    rows: list[tuple[int, int]]
    ids_bt: torch.Tensor
    mask_bt: torch.Tensor
    asked: Asked


class LookedUp(NamedTuple):
    """What a batch's logits say of the m option tokens that are asked for."""

    logprob_m: torch.Tensor
    first_m: torch.Tensor  # whether the token is the likeliest of the whole vocabulary


class Answers(NamedTuple):
    """Per probe, in order: share of answer tokens ranked first, choice right or not, chosen-option scores."""

    cloze_q: torch.Tensor
    choice_q: torch.Tensor
    scores_qo: torch.Tensor


def tokenize(probe: dict, tokenizer: PreTrainedTokenizerBase) -> Question:
    """Tokens of one probe. One-token options share a single input, the prompt.

    An option's tokens are those by which the whole texts differ from the prompt: many tokenizers read a text that
    stands alone in another way (Llama 2 puts a space in front, the same first token for every option).
    """
    texts = [probe["prompt"], *(f"{probe['prompt']} {text}" for text in probe["options"])]
    front = tuple(leading_tokens(tokenizer))
    prompt, *wholes = (front + tuple(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
    n_prompt = min(_shared(prompt, whole) for whole in wholes)
    options = [whole[n_prompt:] for whole in wholes]
    answer = probe["options"].index(probe["answer"])
    _check_options(probe, options, n_prompt, answer)
    inputs = [whole[:-1] for whole in wholes]
    distinct = tuple(dict.fromkeys(inputs))
    return Question(distinct, tuple(options), tuple(distinct.index(tokens) for tokens in inputs), answer, n_prompt)


def _shared(prompt: Sequence[int], whole: Sequence[int]) -> int:
    """How many tokens the two begin with together: all of the prompt's, unless its last one merges with the option."""
    pairs = enumerate(zip(prompt, whole, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(prompt), len(whole)))


def _check_options(probe: dict, options: Sequence[tuple[int, ...]], n_prompt: int, answer: int) -> None:
    """Refuse a probe that this tokenizer cannot ask: nothing to predict from, or nothing that tells the answer."""
    where = f"the probe {probe['prompt'][-60:]!r}"
    if n_prompt == 0:
        raise PipelineError(f"{where} has no token in front of its options; give it a longer prompt")
    for text, tokens in zip(probe["options"], options, strict=True):
        if not tokens:
            raise PipelineError(f"{where}: this model's tokenizer has no token for the option {text!r}; change it")
        if tokens == options[answer] and text != probe["answer"]:
            raise PipelineError(
                f"{where}: this model's tokenizer reads the options {probe['answer']!r} and {text!r} as the same "
                "tokens; change one, or give another model"
            )


def check_questions(questions: Sequence[Question], config: PreTrainedConfig) -> None:
    """Refuse questions that are longer than the model's positions, or have tokens that its embedding lacks."""
    about = config.get_text_config().to_dict()
    positions, rows = max_positions(about), vocabulary_size(about)
    inputs = [tokens for question in questions for tokens in question.inputs]
    longest = max(map(len, inputs), default=0)
    if positions is not None and longest > positions:
        raise PipelineError(
            f"a probe with its answer has {longest + 1} tokens, but the model reads at most {positions}; shorten it, "
            "or give a model that reads more"
        )
    last = max((token for q in questions for tokens in (*q.inputs, *q.option_tokens) for token in tokens), default=0)
    if rows is not None and last >= rows:
        raise PipelineError(f"the tokenizer gives the token {last}, but the model knows {rows} only; save both again")


def plan(questions: Sequence[Question], pad: int | None, batch_tokens: int = 8192) -> list[ExamBatch]:
    """The distinct inputs of all questions in batches of similar length, padded on the right."""
    rows = [(q, i) for q, question in enumerate(questions) for i in range(len(question.inputs))]
    tokens = [questions[q].inputs[i] for q, i in rows]
    return [
        ExamBatch(
            [rows[k] for k in batch], *pad_right([tokens[k] for k in batch], pad), _ask(questions, rows, list(batch))
        )
        for batch in batches_by_length([len(row) for row in tokens], batch_tokens)
    ]


def _ask(questions: Sequence[Question], rows: Sequence[tuple[int, int]], batch: Sequence[int]) -> Asked:
    """An option's first token is looked up at the prompt's last place, the others one place further each."""
    places: dict[tuple[int, int], int] = {}
    lookups = []
    for row, (q, i) in enumerate(rows[k] for k in batch):
        question = questions[q]
        for o, option in enumerate(question.option_tokens):
            if question.input_of_option[o] == i:
                for t, token in enumerate(option):
                    place = places.setdefault((row, question.n_prompt - 1 + t), len(places))
                    lookups.append((place, token, q, o, 1 / len(option)))
    row_n, position_n = torch.tensor(list(places)).T
    *whole, share_m = zip(*lookups, strict=True)
    return Asked(row_n, position_n, *map(torch.tensor, whole), torch.tensor(share_m, dtype=torch.float64))


def answer(questions: Sequence[Question], batches: Sequence[ExamBatch], logits: Iterable[torch.Tensor]) -> Answers:
    """Score all questions from the logits [n, v] at the asked places of their planned batches, in order."""
    found = (_looked_up(batch.asked, logits_nv) for batch, logits_nv in zip(batches, logits, strict=True))
    return score(questions, batches, found)


def _looked_up(asked: Asked, logits_nv: torch.Tensor) -> LookedUp:
    asked = asked.to(logits_nv.device)
    logprob_m = logits_nv.float().log_softmax(-1)[asked.place_m, asked.token_m]
    return LookedUp(logprob_m, logits_nv.argmax(-1)[asked.place_m] == asked.token_m)


def look_up(made: Pass, asked: Asked) -> LookedUp:
    """The same from a pass over the batch; over a wide vocabulary a few places at a time."""
    if made.fits(len(asked.row_n)):
        return _looked_up(asked, made.logits_at(asked.row_n, asked.position_n))
    return LookedUp(*logprobs_at(made, asked.row_n, asked.position_n, asked.place_m, asked.token_m))


def score(questions: Sequence[Question], batches: Sequence[ExamBatch], found: Iterable[LookedUp]) -> Answers:
    """Score all questions from what was looked up for each of their planned batches, in order."""
    n_options = max(len(question.option_tokens) for question in questions)
    right = torch.tensor([question.answer for question in questions])
    scores, firsts = torch.zeros(2, len(questions), n_options, dtype=torch.float64)
    for batch, looked in zip(batches, found, strict=True):
        at = batch.asked.question_m, batch.asked.option_m
        scores.index_put_(at, looked.logprob_m.double().cpu() * batch.asked.share_m, accumulate=True)
        firsts.index_put_(at, looked.first_m.double().cpu() * batch.asked.share_m, accumulate=True)
    for question, scores_o in zip(questions, scores, strict=True):
        scores_o[len(question.option_tokens) :] = -torch.inf
    cloze = firsts.gather(1, right[:, None]).squeeze(1)
    return Answers(cloze, (scores.argmax(1) == right).double(), scores)


@torch.no_grad()
def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: Sequence[dict]) -> Answers:
    """Put the probes to a model as it is."""
    questions = [tokenize(probe, tokenizer) for probe in probes]
    check_questions(questions, model.config)
    batches = plan(questions, tokenizer.pad_token_id)
    return score(questions, batches, (look_up(_pass(model, batch), batch.asked) for batch in batches))


def logits_at(model: PreTrainedModel, batch: ExamBatch) -> torch.Tensor:
    """The model's logits [n, v] at the asked places of a batch."""
    return _pass(model, batch).logits_at(batch.asked.row_n, batch.asked.position_n)


def _pass(model: PreTrainedModel, batch: ExamBatch) -> Pass:
    return pass_of(model, batch.ids_bt.to(model.device), batch.mask_bt.to(model.device))


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


def pad_right(sequences: Sequence[Sequence[int]], pad: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, [b, t] each. Any id may pad, the mask hides it; without one it is the first."""
    width = max(map(len, sequences))
    ids = torch.full((len(sequences), width), pad or 0, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(sequences):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask
