"""Settings for tests: params.yaml's values with those that a test changes. The classes hold no values of their own."""

from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.settings import Settings
from pipeline.params import Params, resolve

ROOT = Path(__file__).resolve().parents[2]
Section = TypeVar("Section", bound=Settings)


@lru_cache(maxsize=1)
def _params() -> Params:
    return resolve(ROOT / "params.yaml", ROOT / "runs", None).params


def recommended(cls: type[Section], **changes: Any) -> Section:
    """The first section of that class in params.yaml, with some values changed."""
    return next(_all_of(cls, _params())).but(**changes)


def _all_of(cls: type[Section], settings: Settings):
    for _, value in settings:
        if type(value) is cls:
            yield value
        elif isinstance(value, Settings):
            yield from _all_of(cls, value)
