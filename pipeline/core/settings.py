"""Settings: a class for each section of params.yaml, with the types and bounds of its keys and no values.

The values, their units and their reasons stand in params.yaml alone; a class that had defaults would be a second home.
A section is strict: keys that it lacks are refused, a whole number passes for a number, nothing else is coerced.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from pipeline.core.errors import PipelineError
from pipeline.core.faults import sentence_of
from pipeline.core.yaml_text import read_yaml

Section = TypeVar("Section", bound="Settings")

Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every generator of random numbers here takes
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


def shaped(pattern: str, what: str) -> AfterValidator:
    """Text of a form: ``what`` it must be, for those who gave another."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("form", "it must be {what}", {"what": what})
        return text

    return AfterValidator(check)


class Settings(BaseModel):
    """A section, or a part of one; frozen, and compared by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, keys: Any) -> Any:
        """YAML's lists become tuples; an unknown key is refused together with what could have been meant."""
        if not isinstance(keys, Mapping):
            return keys
        for key in keys:
            if key not in cls.model_fields:
                known = list(cls.model_fields)
                raise PydanticCustomError("unknown_key", "unknown key {key}", {"key": str(key), "known": known})
        return {key: _with_tuples(value) for key, value in keys.items()}

    def but(self, **changes: Any) -> Self:
        """The same settings with some values changed, checked like any others."""
        return type(self)(**{key: getattr(self, key) for key in type(self).model_fields} | changes)

    def plain(self) -> dict[str, Any]:
        """As JSON and YAML have it: sections are dicts, tuples are lists."""
        return self.model_dump(mode="json")


class RunSettings(Settings):
    """Section ``run``."""

    seed: Seed


def read_section(path: Path, cls: type[Section], key: str) -> Section:
    """One section of a resolved params file, checked against its class."""
    return parse(cls, read_yaml(path).get(key, {}), key)


def read_sections(path: Path, without: str) -> dict[str, Any]:
    """Every section of a resolved params file but one, as it stands there."""
    return {key: section for key, section in read_yaml(path).items() if key != without}


def parse(cls: type[Section], mapping: Any, where: str) -> Section:
    """Build ``cls`` from a mapping; whatever is wrong becomes one sentence.

    ``where`` is the dotted name of the mapping, empty for the whole file.
    """
    try:
        return cls.model_validate(mapping)
    except ValidationError as refused:
        raise PipelineError(sentence_of(refused, where)) from None


def require(condition: bool, sentence: str) -> None:
    """Refuse an impossible value inside a validator (``parse`` adds the section's name)."""
    if not condition:
        raise ValueError(sentence)


def _with_tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value
