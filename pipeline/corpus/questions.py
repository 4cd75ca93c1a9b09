"""Rows become questions with four options."""

import json
import random
import string
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.corpus.rows import Row, cell, column, fill, origin, place
from pipeline.corpus.settings import ProbeSource
from pipeline.corpus.splits import row_key

N_OPTIONS = 4
LETTERS = string.ascii_uppercase[:N_OPTIONS]


class Question(NamedTuple):
    """``prompt + " " + answer`` is the whole text; ``options`` holds the answer; ``key`` identifies the row."""

    prompt: str
    answer: str
    options: tuple[str, ...]
    path: tuple[str, ...]
    kind: str
    key: str


def questions(rows: Iterable[Row], source: ProbeSource, seed: int) -> list[Question]:
    """The questions of the first rows of a source, at most ``source.documents`` (0: all).

    Rows without an answer, or whose options are not four different ones, are passed over.
    """
    read = _with_choices if source.choices else _free
    found = []
    for number, row in enumerate(rows):
        question = read(row, source, place(source, number))
        if question is None or len(question.prompt) < source.min_characters:
            continue
        found.append(question)
        if len(found) == source.documents:
            break
    return found if source.choices or not found else draw_options(found, seed, source)


def draw_options(free: Sequence[Question], seed: int, source: ProbeSource) -> list[Question]:
    """Questions with a free answer get three other answers of their source as options.

    The others come from the same node where it has enough different ones: a question names whom it is about, so options
    that name someone else would give the answer away.
    """
    everywhere = _distinct(free)
    if len(everywhere) < N_OPTIONS:
        n = len(everywhere)
        raise PipelineError(f"{origin(source)} has {n} different answers; four options need at least {N_OPTIONS}")
    nodes = {path: _distinct([q for q in free if q.path == path]) for path in {q.path for q in free}}
    drawn = []
    for question in free:
        pool = nodes[question.path] if len(nodes[question.path]) >= N_OPTIONS else everywhere
        others = [text for folded, text in sorted(pool.items()) if folded != question.answer.casefold()]
        rng = random.Random(f"{seed}|{question.key}")
        options = [question.answer, *rng.sample(others, N_OPTIONS - 1)]
        drawn.append(question._replace(options=tuple(rng.sample(options, N_OPTIONS))))
    return drawn


def _distinct(found: Iterable[Question]) -> dict[str, str]:
    """Answers that differ by more than case."""
    return {question.answer.casefold(): question.answer for question in found}


def _free(row: Row, source: ProbeSource, path: tuple[str, ...]) -> Question | None:
    answer = cell(row, source.answer, source)
    if not answer:
        return None
    return Question(fill(source.prompt, row, source), answer, (), path, source.kind, row_key(row))


def _with_choices(row: Row, source: ProbeSource, path: tuple[str, ...]) -> Question | None:
    options = [str(option).strip() for option in _options(row, source)]
    if len(options) != N_OPTIONS or len(set(options)) != N_OPTIONS:
        return None
    right = _right(column(row, source.answer, source), options, source)
    if "{choices}" in source.prompt:
        row = {**row, "choices": "\n".join(map("{}. {}".format, LETTERS, options))}
        options = list(LETTERS)
    prompt = fill(source.prompt, row, source)
    return Question(prompt, options[right], tuple(options), path, source.kind, row_key(row))


def _options(row: Row, source: ProbeSource) -> Sequence[Any]:
    """The options' texts: from one column each, or from one column that holds a list (as JSON text in a CSV file)."""
    values = [column(row, name, source) for name in source.choices]
    if len(values) > 1:
        return values
    listed = values[0]
    if isinstance(listed, str):
        try:
            listed = json.loads(listed)
        except json.JSONDecodeError:
            listed = None
    if not isinstance(listed, list):
        raise PipelineError(f"{origin(source)}: column `{source.choices[0]}` must hold a list of the options")
    return listed


def _right(answer: Any, options: Sequence[str], source: ProbeSource) -> int:
    """Which option is right: the answer is its number from 0, its text, or its letter."""
    text = str(answer).strip()
    if isinstance(answer, str) and text in options:
        return list(options).index(text)
    right = int(text) if text.isdecimal() else LETTERS.find(text) if len(text) == 1 else -1
    if not 0 <= right < len(options):
        raise PipelineError(f"{origin(source)}: the answer {text!r} is not the number, letter or text of an option")
    return right
