"""Rows become questions with four options."""

import json
import random
import re
import string
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.corpus.cells import (
    Row,
    UnreadableCell,
    at_row,
    cell,
    column,
    fill,
    origin,
    place,
    template_parts,
    text_of,
)
from pipeline.corpus.documents import row_key, text_key
from pipeline.corpus.settings import N_OPTIONS, ProbeSource

LETTERS = string.ascii_uppercase[:N_OPTIONS]


class Question(NamedTuple):
    """``prompt + " " + answer`` is the whole text; ``options`` holds the answer; ``key`` identifies the row."""

    prompt: str
    answer: str
    options: tuple[str, ...]
    path: tuple[str, ...]
    kind: str
    key: str

    @property
    def same(self) -> tuple[str, ...]:
        """What other rows may ask or say too: the prompt, and the whole text."""
        return text_key(self.prompt), text_key(f"{self.prompt} {self.answer}")


def questions(rows: Iterable[Row], source: ProbeSource, seed: int) -> list[Question]:
    """The questions of the first rows of a source, at most ``source.documents`` (0: all).

    Rows without a prompt or an answer, or whose options are not four different ones, are passed over.
    """
    read = _with_choices if source.choices else _free
    found = []
    for number, row in enumerate(rows):
        with at_row(source, number):
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
    answer, prompt = cell(row, source.answer), fill(source.prompt, row)
    if not answer or not prompt:
        return None
    return Question(prompt, answer, (), path, source.kind, row_key(row))


def _with_choices(row: Row, source: ProbeSource, path: tuple[str, ...]) -> Question | None:
    options = _options(row, source)
    if len(options) != N_OPTIONS or len(set(options)) != N_OPTIONS or "" in options or not cell(row, source.answer):
        return None
    asked = [cell(row, name) for _, name in template_parts(source.prompt) if name not in (None, "choices")]
    if asked and not any(asked):
        return None
    right, key = _right(column(row, source.answer), options, source.answer), row_key(row)
    if "{choices}" in source.prompt:
        row = {**row, "choices": "\n".join(map("{}. {}".format, LETTERS, options))}
        options = list(LETTERS)
    return Question(fill(source.prompt, row), options[right], tuple(options), path, source.kind, key)


def _options(row: Row, source: ProbeSource) -> list[str]:
    """The options' texts: from one column each, or from one column that holds a list (as JSON text in a CSV file)."""
    if len(source.choices) > 1:
        return [cell(row, name) for name in source.choices]
    (name,) = source.choices
    listed = column(row, name)
    if isinstance(listed, str):
        listed = _parsed(listed) if listed.strip() else None
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise UnreadableCell(f"column `{name}` must hold a list of the options")
    return [text_of(option, name) for option in listed]


def _parsed(listed: str) -> Any:
    """What the JSON text says; nothing that is a list where it is no JSON."""
    try:
        return json.loads(listed, parse_float=str)
    except (ValueError, RecursionError):
        return listed


def _right(answer: Any, options: Sequence[str], name: str) -> int:
    """Which option is right: the answer is its number from 0, its letter, or its text.

    The same in every format. A number that is stored as one (not as text, as a CSV file has it) is the option's number
    first; a text that can be read in two ways which differ, such as ``1`` before the options 1, 2, 3 and 4, is refused.
    """
    text = text_of(answer, name)
    number = int(text[0]) if re.fullmatch(rf"[0-{N_OPTIONS - 1}](\.0+)?", text) else None
    if number is not None and isinstance(answer, Integral) and not isinstance(answer, bool):
        return number
    letter = LETTERS.index(text) if text in tuple(LETTERS) else None
    written = list(options).index(text) if text in options else None
    readings = {reading for reading in (number, letter, written) if reading is not None}
    if not readings:
        raise UnreadableCell(f"the answer {text!r} is not the number, letter or text of an option")
    if len(readings) > 1:
        raise UnreadableCell(
            f"the answer {text!r} is the text of one option and the number or letter of another; give the letters of "
            "the options, or options that no number or letter stands for"
        )
    return readings.pop()
