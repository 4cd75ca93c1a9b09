"""What local files hold, in a few characters: a changed corpus or model makes stages stale, as a changed key does."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

# A larger file is known by its size and time, so that a call with nothing to do does not read gigabytes of weights.
READ_UP_TO = 64 << 20  # bytes


def contents(paths: Iterable[Path]) -> dict[str, str]:
    """Path -> fingerprint of a file, or of all files in a folder."""
    return {str(path): _folder(path) if path.is_dir() else _file(path) for path in paths}


def _folder(path: Path) -> str:
    lines = (f"{file.relative_to(path)} {_file(file)}" for file in sorted(path.rglob("*")) if file.is_file())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _file(path: Path) -> str:
    about = path.stat()
    if about.st_size > READ_UP_TO:
        return f"{about.st_size} bytes of {about.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
