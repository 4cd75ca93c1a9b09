"""What a training method learns from: token sequences, and which of their tokens are to be forgotten or kept."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from pipeline.corpus.targets import relations
from pipeline.language_model.answers import pad_right, tokenize
from pipeline.unlearning.bench import Bench

PROBE_TOKENS = 16  # about the length of a probe with its answer


class Example(NamedTuple):
    """One input; ``counted`` marks the tokens whose prediction is trained (never the first one)."""

    tokens: tuple[int, ...]
    counted: tuple[bool, ...]


class Padded(NamedTuple):
    """A batch of examples; position t of ``counted_bt`` says that token t + 1 is counted."""

    ids_bt: torch.Tensor
    mask_bt: torch.Tensor
    counted_bt: torch.Tensor  # bool [b, t - 1]


def whole(tokens: tuple[int, ...]) -> Example:
    """Tokens all of which are trained on, but for the first, which nothing predicts."""
    return Example(tokens, (False,) + (True,) * (len(tokens) - 1))


def padded(batch: Sequence[Example], pad: int, device: torch.device) -> Padded:
    """The batch as tensors, padded on the right."""
    ids_bt, mask_bt = pad_right([example.tokens for example in batch], pad)
    counted_bt, _ = pad_right([list(map(int, example.counted)) for example in batch], 0)
    return Padded(ids_bt.to(device), mask_bt.to(device), counted_bt[:, 1:].bool().to(device))


def answered(probes: Sequence[dict], tokenizer: PreTrainedTokenizerBase) -> list[Example]:
    """Probes with their true answers, whose tokens count."""
    questions = [tokenize(probe, tokenizer) for probe in probes]
    return [Example(q.answered, (False,) * q.n_prompt + (True,) * len(q.option_tokens[q.answer])) for q in questions]


def documents(bench: Bench, target: tuple[str, ...], wanted: str) -> list[Example]:
    """The bench's texts of one relation to the target; every token but the first counts."""
    of_text = relations(bench.texts, target)
    found = []
    for batch in bench.reading:
        for (x, _), ids, mask in zip(batch.rows, batch.ids_bt, batch.mask_bt, strict=True):
            if of_text[x] == wanted:
                tokens = tuple(ids[: int(mask.sum())].tolist())
                found.append(whole(tokens))
    return found


def examples(bench: Bench, target: tuple[str, ...], wanted: str) -> list[Example]:
    """Probes of one relation with their answers; where there are none, texts."""
    of_probe = relations(bench.probes, target)
    probes = [probe for probe, name in zip(bench.probes, of_probe, strict=True) if name == wanted]
    return answered(probes, bench.tokenizer) or documents(bench, target, wanted)


def draw(pool: Sequence[Example], size: int, rng: np.random.Generator) -> list[Example]:
    """A random batch of about ``size`` probes; a longer text stands for as many probes as fit in it."""
    longest = max(len(example.tokens) for example in pool)
    size = min(len(pool), max(1, size * PROBE_TOKENS // max(longest, PROBE_TOKENS)))
    return [pool[i] for i in rng.choice(len(pool), size, replace=False)]


def by_length(examples: Sequence[Example]) -> list[list[Example]]:
    """Batches of which no member is more than twice as long as another: few passes, and little padding in each."""
    batches: list[list[Example]] = []
    for example in sorted(examples, key=lambda example: len(example.tokens)):
        if not batches or len(example.tokens) > 2 * len(batches[-1][0].tokens):
            batches.append([])
        batches[-1].append(example)
    return batches
