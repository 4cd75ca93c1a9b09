"""A tiny Gemma-2, trained here until it knows the corpus, and its tokenizer."""

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipeline.core.progress import track
from pipeline.language_model.answers import ExamBatch, Question, answer, logits_at, pad_right, plan, tokenize
from pipeline.language_model.settings import TinySettings

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")


def train_tokenizer(texts: Iterable[str], kind: Literal["word", "bpe"], vocab_size: int) -> PreTrainedTokenizerFast:
    """Whole words (every word of the embedded world is one token) or byte-level BPE (for real text).

    Like Gemma's it puts ``<bos>`` first and pads on the left.
    """
    if kind == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator(texts, trainer)
    bos = tokenizer.token_to_id("<bos>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        add_bos_token=True,
    )


Batch = list[list[int]]
# Parts of a batch that are computed side by side: at this size a second thread inside an operation gains a quarter, a
# thread for each half of the batch nearly two thirds. Fixed, since it decides the last bits of the weights.
PARTS = 2


class Check(NamedTuple):
    """What the model knew after so many training tokens; ``loss`` is the mean since the last check, in nats.

    ``cloze`` and ``choice`` are those of the weaker group: probes with a place in the tree, or general ones.
    """

    tokens: int
    loss: float
    cloze: float
    choice: float


class Exam(NamedTuple):
    """The probes that decide when to stop; ``in_tree`` tells those of the knowledge base from general ones."""

    questions: list[Question]
    batches: list[ExamBatch]
    in_tree: list[bool]


def exam_probes(probes: Sequence[dict], seed: int, most: int = 350) -> list[dict]:
    """The dev probes that decide when a model knows enough: a sample of those in the tree, and all general ones."""
    dev = [probe for probe in probes if probe["split"] == "dev"]
    in_tree = [probe for probe in dev if probe["path"]]
    sample = random.Random(seed).sample(in_tree, min(most, len(in_tree)))
    return sample + [probe for probe in dev if not probe["path"]]


def build(settings: TinySettings, tokenizer: PreTrainedTokenizerBase, seed: int) -> Gemma2ForCausalLM:
    """An untrained model of the wanted size; everything not named is Gemma-2's own default (soft caps, tied head)."""
    torch.manual_seed(seed)
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        head_dim=settings.head_dim,
        query_pre_attn_scalar=settings.head_dim,
        intermediate_size=settings.intermediate_size,
        sliding_window=settings.sliding_window,
        max_position_embeddings=max(256, settings.context_length),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        attn_implementation="eager",
    )
    return Gemma2ForCausalLM(config)


def train(
    model: Gemma2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    probes: Sequence[dict],
    settings: TinySettings,
    seed: int,
) -> list[Check]:
    """Train at a constant rate until the ``probes`` are known, then cool down linearly; returns the checks.

    Knowledge comes in a phase change, late and at no fixed epoch, so accuracy decides when to stop: ``enough_cloze``
    and ``enough_choice`` on held-out paraphrases (cloze alone decides where probes have no options to choose from).
    The cool-down lasts ``cooldown_tokens`` and begins at the latest where ``max_tokens`` requires it.
    """
    questions = [tokenize(probe, tokenizer) for probe in probes]
    exam = Exam(questions, plan(questions, tokenizer.pad_token_id), [bool(probe["path"]) for probe in probes])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    batches = track(
        _batches(texts, tokenizer, settings, seed),
        "tiny model",
        settings.max_tokens // 1000,
        "steps of ~1k tokens",
    )
    checks: list[Check] = []
    seen, losses, cooling_from = 0, [], None
    with ThreadPoolExecutor(PARTS) as threads:
        for step, batch in enumerate(batches):
            latest_start = settings.max_tokens - settings.cooldown_tokens
            if cooling_from is None and (seen >= latest_start or (checks and _knows(checks[-1], settings))):
                cooling_from = seen
            left = 1.0 if cooling_from is None else 1 - (seen - cooling_from) / settings.cooldown_tokens
            if left <= 0:
                break
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps) * max(left, 0.02)
            losses.append(_step(model, optimizer, batch, tokenizer.pad_token_id, threads))
            before, seen = seen, seen + sum(map(len, batch))
            if seen // settings.check_tokens > before // settings.check_tokens:
                checks.append(_check(model, exam, seen, losses))
                losses = []
        return checks if not losses else [*checks, _check(model, exam, seen, losses)]


def _batches(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, settings: TinySettings, seed: int
) -> Iterator[Batch]:
    """Endless batches of documents of similar length, reshuffled every epoch."""
    rng = random.Random(seed)
    documents = tokenizer(list(texts), truncation=True, max_length=settings.context_length)["input_ids"]
    size = settings.batch_documents
    while True:
        order = rng.sample(range(len(documents)), len(documents))
        pools = [order[i : i + 32 * size] for i in range(0, len(order), 32 * size)]
        for pool in pools:
            pool.sort(key=lambda i: len(documents[i]))
            starts = list(range(0, len(pool), size))
            rng.shuffle(starts)
            for start in starts:
                yield [documents[i] for i in pool[start : start + size]]


def _step(
    model: Gemma2ForCausalLM, optimizer: torch.optim.Optimizer, batch: Batch, pad: int, threads: Executor
) -> float:
    parts = [part for part in (batch[start::PARTS] for start in range(PARTS)) if part]
    n_targets = sum(len(document) - 1 for document in batch)
    losses, gradients = zip(*threads.map(partial(_gradients, model, pad, n_targets), parts), strict=True)
    for parameter, *summands in zip(model.parameters(), *gradients, strict=True):
        parameter.grad = sum(summands[1:], start=summands[0])
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return sum(losses)


def _gradients(
    model: Gemma2ForCausalLM, pad: int, n_targets: int, part: Batch
) -> tuple[float, tuple[torch.Tensor, ...]]:
    """A part's share of the batch's mean loss over ``n_targets`` tokens, and the gradients of that share."""
    ids_bt, mask_bt = pad_right(part, pad)
    logits_btv = model(input_ids=ids_bt, attention_mask=mask_bt).logits[:, :-1]
    targets_bt = ids_bt[:, 1:].masked_fill(mask_bt[:, 1:] == 0, -100)
    summed = F.cross_entropy(logits_btv.flatten(0, 1), targets_bt.flatten(), ignore_index=-100, reduction="sum")
    loss = summed / n_targets
    return loss.item(), torch.autograd.grad(loss, list(model.parameters()))


@torch.no_grad()
def _check(model: Gemma2ForCausalLM, exam: Exam, seen: int, losses: Sequence[float]) -> Check:
    answers = answer(exam.questions, exam.batches, (logits_at(model, batch) for batch in exam.batches))
    in_tree = torch.tensor(exam.in_tree)
    groups = [group for group in (in_tree, ~in_tree) if group.any()]
    weakest_cloze = min(answers.cloze_q[group].mean().item() for group in groups)
    weakest_choice = min(answers.choice_q[group].mean().item() for group in groups)
    return Check(seen, sum(losses) / len(losses), weakest_cloze, weakest_choice)


def _knows(check: Check, settings: TinySettings) -> bool:
    return check.cloze >= settings.enough_cloze and check.choice >= settings.enough_choice
