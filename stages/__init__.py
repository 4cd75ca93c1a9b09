"""The stages of dvc.yaml, one page each; what they share is how they start and end.

A stage's ``main`` reads its sections of data/params.yaml, opens its inputs, calls the library, writes its outputs and
returns one summary line.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Idle OpenMP threads must sleep: spinning ones make two busy cores slower than one. OpenMP reads this when torch is
# first imported, which is after this module.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PARAMS = Path("data/params.yaml")
ERROR = Path("data/error.txt")
_PR_SET_PDEATHSIG = 1


def run(name: str, main: Callable[[], str]) -> None:
    """Run a stage: a foreseen error becomes one sentence and exit code 1; the wall time is kept beside the results."""
    from pipeline.errors import PipelineError

    _die_with_parent()
    ERROR.parent.mkdir(exist_ok=True)
    ERROR.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        summary = main()
    except PipelineError as error:
        ERROR.write_text(f"{error}\n", encoding="utf-8")
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    seconds = time.monotonic() - started
    times = Path("data/times") / f"{name}.json"
    times.parent.mkdir(exist_ok=True)
    times.write_text(json.dumps({"stage": name, "seconds": round(seconds, 1), "summary": summary}) + "\n")
    print(f"{name}: {summary} [{seconds:.1f} s]", flush=True)


def _die_with_parent() -> None:
    """Ask Linux to end this stage when DVC is killed, so that no orphan writes beside the next run."""
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:
            raise SystemExit(1)
