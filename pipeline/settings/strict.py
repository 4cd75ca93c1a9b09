"""Mappings from YAML become frozen dataclasses, or one sentence that names the key."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipeline.errors import PipelineError

Section = TypeVar("Section")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `dvc repro` from the repository's root") from None
    except yaml.YAMLError as error:
        raise PipelineError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PipelineError(f"{path} must hold `key: value` lines, not a {type(content).__name__}")
    return content


def read_section(path: Path, cls: type[Section], key: str) -> Section:
    """One section of a resolved params file, checked against its dataclass."""
    return parse(cls, read_yaml(path).get(key, {}), key)


def parse(cls: type[Section], mapping: Any, where: str) -> Section:
    """Build ``cls`` from a mapping; unknown keys, wrong types and ``__post_init__`` refusals name ``where``."""
    if not isinstance(mapping, Mapping):
        raise PipelineError(f"`{where}` must be a section of `key: value` lines, not {mapping!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else f"; it knows {', '.join(sorted(fields))}"
            raise PipelineError(f"unknown key `{where}.{key}`{hint}")
    hints = typing.get_type_hints(cls)
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in mapping.items()}
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise PipelineError(f"`{where}` lacks the key `{missing[0]}`")
    try:
        return cls(**values)
    except ValueError as error:
        raise PipelineError(f"`{where}`: {error}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    """``value`` as ``kind``; YAML's int passes for float, nothing else is coerced."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (kind,) = [argument for argument in arguments if argument is not type(None)]
        return _convert(kind, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise PipelineError(f"`{where}` is {value!r}; it must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, where)  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return float(value)
    expected = origin or kind
    if type(value) is not expected:
        name = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
        wanted = name.get(expected.__name__, "a list" if expected is tuple else f"a {expected.__name__}")
        raise PipelineError(f"`{where}` is {value!r}; it must be {wanted}")
    return value


def require(condition: bool, sentence: str) -> None:
    """Refuse an impossible value inside ``__post_init__`` (``parse`` adds the section's name)."""
    if not condition:
        raise ValueError(sentence)
