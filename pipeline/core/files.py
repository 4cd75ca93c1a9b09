"""Files that are complete or do not bear their name, and fingerprints of what local files hold.

A changed corpus or model of the user's makes stages stale by its fingerprint, as a changed key does.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename: a reader never sees half of it."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """The content of a JSON file that an earlier stage wrote, if it is as the sums beside it have it."""
    check_sums(path.parent, path.name)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `uv run dvc repro`") from None


def write_jsonl(path: Path, rows: Iterator[dict] | list[dict]) -> int:
    """Write one JSON object a line under a temporary name, then rename; returns the number of lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    count = 0
    with temporary.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    temporary.replace(path)
    return count


def read_jsonl(path: Path) -> Iterator[dict]:
    """The objects of a JSON-lines file that an earlier stage wrote."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def fingerprint(content: Any) -> str:
    """A short hash of everything that shapes an artefact; part of its partial folder's name."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of the files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


SUMS = "sums.json"
_RESTORE = "copy it again, or, in data/, delete {folder} and run experiment.py, which restores it"


def write_sums(folder: Path) -> None:
    """State the SHA-256 of every file of ``folder``, and of every folder in it, in a ``sums.json`` of its own.

    So a folder that is copied elsewhere still says what it was. Readers of weights and trees call ``check_sums``.
    """
    for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        files = sorted(path for path in place.iterdir() if path.is_file() and path.name != SUMS)
        if files:
            write_json(place / SUMS, {path.name: hash_files([path]) for path in files})


def check_sums(folder: Path, *names: str) -> None:
    """Refuse files (all, if none is named) that are not as the folder's ``sums.json`` has them; without one, nothing
    is known and nothing refused."""
    try:
        sums = json.loads((folder / SUMS).read_bytes())
        stated = [(folder / name, sums[name]) for name in names or sums if name in sums]
    except FileNotFoundError:
        return
    except (ValueError, TypeError):
        raise PipelineError(f"{folder / SUMS} is damaged; {_RESTORE.format(folder=folder)}") from None
    for path, wanted in stated:
        if not path.is_file() or hash_files([path]) != wanted:
            raise PipelineError(
                f"{path} is not the file that was written: its SHA-256 is not the one in {SUMS} beside it; "
                f"{_RESTORE.format(folder=folder)} (if you changed it on purpose, delete {SUMS})"
            )


@contextlib.contextmanager
def building(final: Path, shaped_by: Any = None) -> Iterator[Path]:
    """A folder ``<parent>/partial/<name>-<hash>`` that becomes ``final`` when the block ends without an error.

    A stage that resumes gives all that shapes its content, inputs included: what a killed build of the same content
    left is then still there, and one of other content is deleted. Without ``shaped_by`` the folder starts empty. A
    second writer is refused (``fcntl.flock``), which also keeps a stage that outlived its killed parent from writing
    beside its successor.
    """
    partial_root = final.parent / "partial"
    partial_root.mkdir(parents=True, exist_ok=True)
    partial = partial_root / f"{final.name}-{fingerprint(shaped_by)}"
    with _lock(partial_root / f"{final.name}.lock", final):
        for other in partial_root.glob(f"{final.name}-*"):
            if other != partial or shaped_by is None:
                shutil.rmtree(other)
        partial.mkdir(exist_ok=True)
        yield partial
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)


@contextlib.contextmanager
def _lock(path: Path, final: Path) -> Iterator[None]:
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise PipelineError(
                f"{final} is being written by process {lock.read().strip()}; wait for it or stop it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


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
