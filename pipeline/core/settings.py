"""Mappings from YAML become frozen dataclasses, or one sentence that names the key.

Settings that every stage shares.
"""

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from pipeline.core.errors import PipelineError

Section = TypeVar("Section")


class _Loader(yaml.SafeLoader):
    """Safe YAML without its two traps: a repeated key is refused, and ``3e-4`` is a number (PyYAML reads text)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for i, name in enumerate(names):
            if name in names[:i]:
                line = node.value[i][0].start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key `{name}` appears twice in one section")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `uv run dvc repro` from the repository's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path} cannot be read: {error}") from None
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
    """Build ``cls`` from a mapping; unknown keys, wrong types and ``__post_init__`` refusals name ``where``.

    ``where`` is the dotted name of the mapping, empty for the whole file.
    """
    if not isinstance(mapping, Mapping):
        raise PipelineError(f"`{where}` must be a section of `key: value` lines, not {mapping!r}")
    prefix = f"{where}." if where else ""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise PipelineError(f"unknown key `{prefix}{key}`{did_you_mean(key, fields)}")
    hints = typing.get_type_hints(cls)
    values = {key: _convert(hints[key], value, f"{prefix}{key}") for key, value in mapping.items()}
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


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(str(word), known := sorted(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known are {', '.join(known)}"


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
    if kind is float and not math.isfinite(value):
        raise PipelineError(f"`{where}` is {value}; it must be a finite number")
    return value


def require(condition: bool, sentence: str) -> None:
    """Refuse an impossible value inside ``__post_init__`` (``parse`` adds the section's name)."""
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True)
class RunSettings:
    """Section ``run``."""

    seed: int = 0
    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"seed is {self.seed}; it must be 0 or more")
        require(self.threads >= 1, f"threads is {self.threads}; it must be 1 or more")
