"""YAML 1.2 as people write it: ``3e-4`` is a number, ``yes`` is text, and a key may stand once in a section."""

import copy
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.constructor import DuplicateKeyError

from pipeline.core.errors import PipelineError


@lru_cache(maxsize=1)
def _yaml() -> YAML:
    """Safe; writes one key a line, in the order of the mapping."""
    yaml = YAML(typ="safe")
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False
    yaml.allow_unicode, yaml.width = True, 110
    return yaml


@lru_cache(maxsize=8)
def _loaded(text: str) -> Any:
    """Parsed once in a process: a stage reads several sections of one file, and params.yaml takes 40 ms."""
    return _yaml().load(text)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping."""
    try:
        content = copy.deepcopy(_loaded(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `uv run dvc repro` from the repository's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path} cannot be read: {error}") from None
    except DuplicateKeyError as error:
        key, line = str(error.problem).split('"')[1], error.problem_mark.line + 1
        raise PipelineError(f"{path}, line {line}: the key `{key}` appears twice in one section") from None
    except YAMLError as error:
        raise PipelineError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PipelineError(f"{path} must hold `key: value` lines, not a {type(content).__name__}")
    return content


def as_yaml(content: dict[str, Any]) -> str:
    """The text of a YAML file that reads back as the same mapping."""
    text = io.StringIO()
    _yaml().dump(content, text)
    return text.getvalue()
