"""Finished parts of a stage's work, kept by what made them.

A killed call goes on after them, and a change that concerns one part remakes that part alone.
"""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.core.files import fingerprint, hash_files, read_json, write_json

LIBRARIES = ("numpy", "scikit-learn", "torch", "transformers")  # whose arithmetic is in the results


def code_of(*packages: str) -> list[str]:
    """What the sources of some packages of this library are, and the versions of the libraries that compute."""
    library = Path(__file__).parents[1]
    sources = [hash_files(sorted((library / package).rglob("*.py"))) for package in packages]
    return [*sources, *(version(name) for name in LIBRARIES)]


class Kept:
    """Files or folders under ``root``; ``shaped_by`` is all that made any of them, the code included."""

    def __init__(self, root: Path, shaped_by: Any) -> None:
        self.root, self.shaped_by = root, shaped_by
        self.asked: set[str] = set()

    def restore(self, final: Path, *of: Any) -> bool:
        """Put the part that ``of`` names where it belongs; False where it was never finished."""
        kept = self._place(of)
        if not kept.exists():
            return False
        _copy(kept, final)
        return True

    def keep(self, made: Path, *of: Any) -> None:
        """Keep a finished part; it bears its name only when it is whole."""
        kept = self._place(of)
        partial = kept.with_name(f".{kept.name}.partial")
        _remove(partial)
        _copy(made, partial)
        _remove(kept)
        partial.rename(kept)

    def value(self, make: Callable[[], Any], *of: Any) -> Any:
        """What ``make`` returns, a value of JSON; called where no earlier call kept it."""
        kept = self._place(of)
        if not kept.exists():
            write_json(kept, make())
        return read_json(kept)

    def forget_others(self) -> None:
        """Remove what this call neither asked for nor kept: parts of other settings, or half a part."""
        for path in self.root.glob("*"):
            if path.name not in self.asked:
                _remove(path)

    def _place(self, of: tuple[Any, ...]) -> Path:
        name = fingerprint([self.shaped_by, of])
        self.asked.add(name)
        return self.root / name


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
