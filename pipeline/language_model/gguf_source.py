"""Language models in GGUF files: a file, a folder that holds one, or a Python package that carries one."""

import importlib
import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

from pipeline.core.errors import PipelineError
from pipeline.core.packages import INSTALL, PACKAGE, fingerprint_of, package_folder
from pipeline.language_model.gguf_header import Header, read_header

_TERMS = ("TERMS", "NOTICE", "LICENSE", "LICENCE")


def is_gguf(source: str) -> bool:
    """Whether ``language_model.source`` names a package, a ``.gguf`` file, or a folder that holds only such a model."""
    folder = Path(source).expanduser()
    bare = folder.is_dir() and not (folder / "config.json").exists() and any(folder.glob("*.gguf"))
    return source.startswith(PACKAGE) or source.endswith(".gguf") or bare


def check_gguf(source: str) -> Header:
    """Refuse what `prepare` could not open; returns the file's head."""
    if importlib.util.find_spec("gguf") is None:
        raise PipelineError(f"language_model.source is {source}, which needs the Python package gguf; {INSTALL}")
    return read_header(_first_piece(_package(source)) if source.startswith(PACKAGE) else _file(source))


def open_gguf(source: str, scratch: Path) -> Path:
    """The whole file; a package that carries it in pieces joins and checks them in ``scratch``."""
    if not source.startswith(PACKAGE):
        return _file(source)
    package = _package(source)
    if hasattr(package, "assemble"):
        return Path(package.assemble(scratch / "assembled.gguf"))
    return _first_piece(package)


def fingerprint_gguf(source: str) -> dict[str, str]:
    """What tells this content of the source from a later one: a package's version, else the file's own."""
    return fingerprint_of(source, Path() if source.startswith(PACKAGE) else _file(source))


def terms(source: str) -> list[Path]:
    """The texts of terms and notices that lie beside the model."""
    folder = _data(_package(source)) if source.startswith(PACKAGE) else _file(source).parent
    return sorted(file for file in folder.iterdir() if any(word in file.name.upper() for word in _TERMS))


def copy_terms(source: str, folder: Path) -> list[str]:
    """Put the terms beside the converted weights, to which they apply as well; returns the files' names."""
    return [Path(shutil.copy(file, folder)).name for file in terms(source)]


def _file(source: str) -> Path:
    path = Path(source).expanduser()
    found = sorted(path.glob("*.gguf")) if path.is_dir() else [path]
    if len(found) > 1:
        raise PipelineError(f"{path} holds {len(found)} GGUF files; name one of them in language_model.source")
    if not found[0].is_file():
        raise PipelineError(f"model file {path} is missing; put it there or change language_model.source")
    return found[0]


def _package(source: str) -> ModuleType:
    return importlib.import_module(package_folder(source.removeprefix(PACKAGE), "language_model.source").name)


def _data(package: ModuleType) -> Path:
    """The package's folder of data, or its own."""
    folder = Path(str(package.__file__)).parent
    return folder / "data" if (folder / "data").is_dir() else folder


def _first_piece(package: ModuleType) -> Path:
    """The file in which a package's model begins: its first piece, which holds the head, or all of it."""
    try:
        found = [Path(path) for path in package.chunk_paths()] if hasattr(package, "chunk_paths") else None
    except ImportError as error:
        raise PipelineError(f"{package.__name__} lacks a part of its model ({error}); {INSTALL}") from None
    found = sorted(_data(package).glob("*.gguf")) if found is None else found
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        lacking = missing[0] if missing else "a .gguf file"
        raise PipelineError(f"the package {package.__name__} lacks {lacking}; install it again")
    return found[0]
