"""A disk that is full when a stage begins, in each stage in turn, and a second run beside the first.

    uv run python -m benchmarks.full_disk

The project lies on a disk of its own in memory (to mount it takes root). Every refusal must be one sentence and an exit
code above 0, leave nothing under a final name, and let the next call continue. Writes benchmarks/full_disk.json.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults import Call, finish, make_project
from pipeline.core.files import write_json
from pipeline.core.yaml_text import read_yaml

ROOT = Path(__file__).resolve().parents[1]
SIZE = 400 << 20  # bytes of the disk


def main() -> None:
    with disk() as place:
        project = make_project(place / "small")
        rows = [fill_in(project, name) for name in read_yaml(ROOT / "dvc.yaml")["stages"]]
        rows.append(run_twice(project))
        finish(project)
    write_json(ROOT / "benchmarks/full_disk.json", {"rows": rows})
    print(json.dumps(rows, indent=1))
    if not all(row["right"] for row in rows):
        sys.exit(1)


@contextlib.contextmanager
def disk() -> Iterator[Path]:
    """A small disk, gone when the block ends."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)  # also when a stage still ends there


def fill_in(project: Path, name: str) -> dict[str, Any]:
    """One call that meets a full disk in a stage; the outputs of that stage must not be there afterwards."""
    call, filler = Call(project), project.parent / "filler"
    if not call.wait_for(f"[{name}]"):
        return judged(f"full disk in {name}", call.process.wait(), [*call.said, "was not reached"], [])
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
    code = call.process.wait()
    filler.unlink()
    spec = read_yaml(ROOT / "dvc.yaml")["stages"][name]
    made = [out for out in spec["outs"] if isinstance(out, str) and (project / out).exists()]
    return judged(f"full disk in {name}", code, call.said, made)


def run_twice(project: Path) -> dict[str, Any]:
    """A second call while the first one works."""
    first = Call(project)
    if not first.wait_for("["):
        raise SystemExit("".join(first.said[-20:]))
    second = Call(project)
    row = judged("a second run in the same folder", second.process.wait(), second.said, [])
    if first.process.wait() not in (0, 3):
        row |= {"right": False, "said": first.said[-1]}
    return row


def judged(case: str, code: int, said: list[str], made: list[str]) -> dict[str, Any]:
    """Whether a call ended with one sentence alone, and left nothing that looks finished."""
    errors = [line.strip() for line in said if line.startswith("error: ")]
    whole = not made or any("/times/" in out for out in made)  # the stage had ended, and DVC met the full disk
    right = code == 1 and len(errors) == 1 and said[-1].startswith("error: ") and whole
    right &= not any("Traceback" in line for line in said)
    return {"case": case, "right": right, "code": code, "said": " | ".join(errors) or said[-1], "made": made}


if __name__ == "__main__":
    main()
