"""No key is accepted and ignored: somewhere in the library or the stages every key of params.yaml is read.

A reader is an attribute access ``something.key`` outside the file that declares the key. That a method's section has no
more keys than the method reads is the faults' table in test_settings.py: RMU has no attacker, gradient ascent retains
nothing.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pipeline.core.settings import Settings
from pipeline.params import Params
from tests.support.settings import ROOT

FILES = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
# Keys that their own class hands out: by which method.
THROUGH = {"sae.also.": "varied", "unlearning.more_methods": "methods_at"}


def keys_of(cls: type[Settings], section: str = "") -> Iterator[tuple[str, type[Settings]]]:
    """Dotted name and declaring class of every key, of sections in sections and in lists too."""
    for key, field in cls.model_fields.items():
        yield f"{section}{key}", cls
        for below in settings_in(field.annotation):
            yield from keys_of(below, f"{section}{key}.")


def settings_in(annotation: object) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [kind for argument in get_args(annotation) for kind in settings_in(argument)]


def reads(file: Path) -> set[str]:
    """The attributes that a file reads."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


READS = {file: reads(file) for file in FILES}
KEYS = [(name, cls) for name, cls in keys_of(Params) if "." in name]  # a stage asks for whole sections by their name


@pytest.mark.parametrize(("name", "cls"), KEYS, ids=[name for name, _ in KEYS])
def test_the_key_has_a_reader(name: str, cls: type[Settings]) -> None:
    key = next((method for start, method in THROUGH.items() if name.startswith(start)), name.rsplit(".", 1)[1])
    declared = ROOT / f"{cls.__module__.replace('.', '/')}.py"
    assert [file for file, found in READS.items() if key in found and file != declared], f"nothing reads {name}"


def test_a_key_without_a_reader_would_be_seen() -> None:
    assert not any("anti_gravity" in found for found in READS.values())
    assert "unlearning.gates.batch.retain" in dict(KEYS) and "corpus.texts.template" in dict(KEYS)
