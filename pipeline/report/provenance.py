"""What made the results: versions and hashes."""

import hashlib
import importlib.metadata
import platform
from pathlib import Path

PACKAGES = ("torch", "transformers", "sae-lens", "sae-bench", "numpy", "scipy", "zarr", "dask", "fastcluster", "numba")


def versions() -> dict[str, str]:
    """Python and the packages that shape the numbers."""
    return {"Python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def hashes(files: list[Path]) -> dict[str, str]:
    """SHA-256 of the files that are there, by path."""
    return {str(path): _sha256(path) for path in files if path.exists()}


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
