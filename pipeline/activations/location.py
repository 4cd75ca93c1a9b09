"""Where a store lives: a local folder, an object store's URL, or a local folder that names a URL.

An ``s3://`` URL takes its endpoint and keys from the usual environment variables (``AWS_ENDPOINT_URL``,
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``; ``AWS_ALLOW_HTTP=true`` for a server without TLS);
``gs://`` and ``az://`` work likewise.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import zarr
from obstore.exceptions import BaseError
from obstore.store import from_url
from zarr.storage import ObjectStore

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json

ADDRESS = "url.json"


def resolve(location: Path | str) -> str:
    """The URL or local path where the store really is."""
    if not is_url(location) and (Path(location) / ADDRESS).exists():
        return read_json(Path(location) / ADDRESS)["url"]
    return str(location)


def write_address(folder: Path, url: str) -> None:
    """Make ``folder`` stand for the store at ``url``."""
    write_json(folder / ADDRESS, {"url": url})


def is_url(location: Path | str) -> bool:
    return "://" in str(location)


def absolute(location: str) -> str:
    """The same place for a process with another working directory."""
    return location if is_url(location) else str(Path(location).absolute())


def open_group(
    location: Path | str, mode: Literal["r", "r+", "a"], attributes: Mapping[str, Any] | None = None
) -> zarr.Group:
    """The Zarr group there; FileNotFoundError if it must exist and does not."""
    location = resolve(location)
    if not is_url(location):
        return zarr.open_group(location, mode=mode, attributes=dict(attributes) if attributes else None)
    try:
        store = ObjectStore(from_url(location), read_only=mode == "r")
        return zarr.open_group(store, mode=mode, attributes=dict(attributes) if attributes else None)
    except (BaseError, FileNotFoundError) as error:
        if mode == "r" and isinstance(error, FileNotFoundError):
            raise
        reason = str(error).splitlines()[0]
        raise PipelineError(
            f"{location} can't be reached: {reason}; check activations.url and AWS_* variables"
        ) from None
