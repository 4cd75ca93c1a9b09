"""A refused value as one sentence: the dotted key, the value, what it must be, and the nearest known name."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

SECTION = "a section of `key: value` lines"
# What a value must be, by pydantic's name of the fault; bounds are filled in from the fault.
WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": SECTION,
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "a list with at least {min_length} value",
}


def sentence_of(refused: ValidationError, where: str) -> str:
    """The first fault of a refused section, whose dotted name is ``where`` (empty for the whole file)."""
    fault = refused.errors(include_url=False)[0]
    name, value, context = dotted(where, fault["loc"]), _shown(fault["input"]), fault.get("ctx", {})
    match fault["type"]:
        case "unknown_key":
            return f"unknown key `{dotted(name, (context['key'],))}`{did_you_mean(context['key'], context['known'])}"
        case "missing":
            return f"the key `{name}` is missing"
        case "value_error":  # of a validator that spans keys
            return f"`{name}`: {context['error']}" if name else str(context["error"])
        case "model_type" | "model_attributes_type":
            return f"`{name}` must be {SECTION}, not {value!r}"
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            return f"`{name}` is {value!r}; it must be one of {', '.join(known)}{_nearest(value, known)}"
        case kind if kind in WANTED:
            return f"`{name}` is {value!r}; it must be {WANTED[kind].format(**context)}"
    return f"`{name}` is {value!r}; {fault['msg']}"


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all of them."""
    known = sorted(known)
    return _nearest(word, known) or f"; known are {', '.join(known)}"


def dotted(where: str, place: Sequence[str | int]) -> str:
    """A place below ``where`` as people write it.

    >>> dotted("unlearning", ("more_methods", "topic", 0))
    'unlearning.more_methods.topic[0]'
    """
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place if step != "[key]")
    return (where + "".join(steps)).removeprefix(".")


def _nearest(word: Any, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _shown(value: Any) -> Any:
    """As it stands in the file: lists were made tuples."""
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    return value
