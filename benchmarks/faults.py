"""Kill experiment.py at random moments on a miniature world; what later calls make of it must equal an undisturbed run.

    uv run python -m benchmarks.faults --kills 20

``--kills`` SIGKILLs in each of five stages, and as many between the stages, while DVC hashes outputs and writes
dvc.lock: there first a SIGINT, and up to two seconds later the SIGKILL, as by a user who presses Ctrl-C and closes the
window. The whole group of processes is killed, or only the stage. After the kills of each part the run goes to its end
and every file of it is compared. Writes benchmarks/faults.json, a row for each part as it comes; a part that is there
is not repeated.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil

from pipeline.core.files import write_json
from pipeline.core.yaml_text import as_yaml, read_yaml
from tests.support.small_run import small_overlay

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = "experiment.py", "repository.py", "dvc.yaml", "params.yaml", "runs", "stages", "pipeline"
PARTS = *PROGRAMS, ".dvc/config", "data/README.md"
STAGES = "cache_activations", "train_sae", "correlate", "unlearn", "evaluate"
BETWEEN = "between stages"
RESULT = ROOT / "benchmarks/faults.json"
UNREACHED = 5  # tries for each kill; a stage may end before the moment drawn
KEPT = "edits", "figures", "sae_bench"  # finished work of `unlearn` and `evaluate`, with which they would end at once
# Wall times are all that may differ: files of them, and keys in JSON.
TIMED = {"times", "report", "final_info.json", "ran.txt"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:  # a killed stage may still be ending
        for row in disturb(Path(scratch), given.kills, random.Random(given.seed), {row["part"] for row in rows}):
            rows.append(row)
            write_json(RESULT, {"kills_wanted_each": given.kills, "rows": rows})
            print(json.dumps(row), flush=True)
    if any(row["differing_files"] for row in rows):
        raise SystemExit(1)


def disturb(scratch: Path, kills: int, rng: random.Random, done: set[str]) -> Iterator[dict[str, Any]]:
    """An undisturbed run, then one that is killed in each stage in turn and between the stages."""
    whole, killed = (make_project(scratch / name) for name in ("whole", "killed"))
    finish(whole)
    theirs = contents(whole)
    seconds = {name: json.loads((whole / f"data/times/{name}.json").read_text())["seconds"] for name in STAGES}
    for part in (part for part in (*STAGES, BETWEEN) if part not in done):
        if part == BETWEEN:
            landed = kill_between(killed, kills, rng)
        else:
            landed = kill_in(killed, part, seconds[part], kills, rng)
        finish(killed)
        ours = contents(killed)
        differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        yield {"part": part, "kills": landed, "files_compared": len(theirs), "differing_files": differing}


def make_project(folder: Path) -> Path:
    """A copy of the project with nothing made, and an overlay ``small``."""
    for part in (*PARTS, "data/baselines"):
        source = ROOT / part
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part)
    (folder / "runs/small.yaml").write_text(as_yaml(small_overlay()))
    return folder


class Call:
    """A running experiment.py, in a group of its own, and the lines that it and its stages say."""

    def __init__(self, project: Path) -> None:
        command = [sys.executable, "experiment.py", f"--out_dir={project.parent / 'out' / project.name / 'small'}"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command,
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: Queue[str] = Queue()
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.said.append(line)
            self.lines.put(line)

    def wait_for(self, start: str) -> bool:
        """Whether a line that starts so was said before the call ended."""
        while True:
            try:
                if self.lines.get(timeout=0.05).startswith(start):
                    return True
            except Empty:
                if self.process.poll() is not None and self.lines.empty():
                    return False

    def kill(self, name: str, rng: random.Random) -> bool:
        """Kill all, or only the stage; whether it was still at its work."""
        stage = [child for child in psutil.Process(self.process.pid).children() if is_stage(child, name)]
        if stage and rng.random() < 0.5:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile
                stage[0].kill()
        else:
            self.end()
        self.process.wait()
        return bool(stage)

    def end(self) -> None:
        """Kill whatever of the group is still there."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


def is_stage(process: psutil.Process, name: str) -> bool:
    """Whether a process is that stage, and not one that ends while it is asked."""
    try:
        return f"stages.{name}" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def finish(project: Path) -> None:
    """Run to the end; exit code 3 is an eval of sae-bench that could not be had."""
    call = Call(project)
    if call.process.wait() not in (0, 3):
        raise SystemExit("".join(call.said[-20:]))


def kill_in(project: Path, name: str, seconds: float, kills: int, rng: random.Random) -> int:
    """Kill the stage ``kills`` times at moments of its work; returns how often it was met there.

    Where it ends first, it has told how long it takes now: the machine may have been slower in the undisturbed run.
    """
    landed = 0
    for _ in range(kills * UNREACHED):
        if landed == kills:
            break
        call = Call(project)
        if call.wait_for(f"[{name}]"):
            time.sleep(rng.random() * seconds)
            landed += call.kill(name, rng)
        else:  # it had ended before the last kill
            call.process.wait()
            seconds = min(seconds, json.loads((project / f"data/times/{name}.json").read_text())["seconds"])
            forget(project, name)
    return landed


def kill_between(project: Path, kills: int, rng: random.Random) -> int:
    """Interrupt, then kill, right after a stage has ended; stages are drawn at random."""
    for _ in range(kills):
        name = rng.choice(STAGES)
        forget(project, name)
        call = Call(project)
        if not call.wait_for(f"{name}: "):
            raise SystemExit("".join(call.said[-20:]))
        time.sleep(rng.random() * 0.3)
        os.killpg(call.process.pid, signal.SIGINT)
        time.sleep(rng.random() * 2)
        call.end()
    return kills


def forget(project: Path, name: str) -> None:
    """Let a stage run again: its outputs, what it keeps of finished work and its records are gone, and its entry in
    dvc.lock if one can be read."""
    for out in read_yaml(project / "dvc.yaml")["stages"][name]["outs"]:
        place = project / out
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    shutil.rmtree(project / ".dvc/cache/runs", ignore_errors=True)
    for kept in KEPT:
        shutil.rmtree(project / "data/partial" / kept, ignore_errors=True)
    lock = read_yaml(project / "dvc.lock")
    lock["stages"].pop(name, None)
    (project / "dvc.lock").write_text(as_yaml(lock))


def contents(project: Path) -> dict[str, Any]:
    """What every file below data/ holds, but for wall times."""
    found = {}
    for path in sorted((project / "data").rglob("*")):
        inside = path.relative_to(project / "data")
        if path.is_file() and inside.parts[0] not in TIMED and "partial" not in inside.parts:
            found[str(inside)] = plain(path) if path.suffix == ".json" else path.read_bytes()
    figures = json.loads((project / "data/final_info.json").read_text())
    return found | {f"final_info.json: {name}": untimed(entry["means"]) for name, entry in figures.items()}


def plain(path: Path) -> Any:
    """A JSON file without wall times; of sums those of other JSON files are left out, which are compared themselves."""
    content = untimed(json.loads(path.read_bytes()))
    return {k: of for k, of in content.items() if not k.endswith(".json")} if path.name == "sums.json" else content


def untimed(content: Any) -> Any:
    """JSON without the keys that hold wall times."""
    if isinstance(content, dict):
        return {key: untimed(value) for key, value in content.items() if "seconds" not in key}
    return [untimed(value) for value in content] if isinstance(content, list) else content


if __name__ == "__main__":
    main()
