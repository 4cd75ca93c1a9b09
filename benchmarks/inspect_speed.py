"""How long every question to `pipeline inspect` takes on a finished default run in data/.

    uv run python -m benchmarks.inspect_speed > benchmarks/inspect_speed.json

Each command runs in a process of its own, the interpreter's start included: best of three, wall and CPU seconds.
"""

import json
import os
import resource
import subprocess
import sys
import time

QUESTIONS = (
    "corpus",
    "activations",
    "sae",
    "feature 12",
    "group 1100",
    "dendrogram --level 2",
    "dendrogram --newick",
    "dendrogram --level 3 --json",
    "edit subtree/topic",
    "run run_7",
)


def asked(question: str) -> tuple[float, float]:
    """Wall and CPU seconds of one answer."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "pipeline", "inspect", *question.split()]
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    rows = []
    for question in QUESTIONS:
        found = [asked(question) for _ in range(3)]
        wall, cpu = (min(column) for column in zip(*found, strict=True))
        rows.append({"question": question, "wall_s": round(wall, 2), "cpu_s": round(cpu, 2)})
    print(json.dumps({"date": time.strftime("%Y-%m-%d"), "load": round(os.getloadavg()[0], 1), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
