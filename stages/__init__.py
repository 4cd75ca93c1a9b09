"""The stages of dvc.yaml, one page each; what they share is how they start and end.

A stage's ``main`` reads its sections of data/params.yaml, opens its inputs, calls the library, writes its outputs and
returns one summary line.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_text
from pipeline.core.processes import die_with_parent
from pipeline.core.yaml_text import read_yaml

# Idle OpenMP threads must sleep: spinning ones make two busy cores slower than one. OpenMP reads this when torch is
# first imported, which is after this module.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PARAMS = Path("data/params.yaml")
ERROR = Path("data/error.txt")  # why the last stage that ran stopped; experiment.py repeats it
RAN = Path("data/ran.txt")  # the stages that ran, a line each, since experiment.py last removed it


def run(name: str, main: Callable[[], str]) -> None:
    """Run a stage: a foreseen error becomes one sentence and exit code 1; the wall time and the
    section ``machine`` are kept beside the results.

    A stage takes no arguments: `--help` says what it does, anything else is refused before it touches its outputs.
    """
    about = sys.modules[main.__module__].__doc__
    argparse.ArgumentParser(prog=f"python -m stages.{name}", description=about).parse_args()
    _die_with_parent()
    signal.signal(signal.SIGINT, lambda *_: _end(name))
    print(f"[{name}]", file=sys.stderr, flush=True)
    ERROR.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        summary = main()
    except PipelineError as error:
        _say(str(error))
        raise SystemExit(1) from None
    except Exception as error:
        write_text(ERROR, f"{name} failed with {type(error).__name__}: {' '.join(str(error).split())}\n")
        raise
    seconds = time.monotonic() - started
    machine = read_yaml(PARAMS)["machine"]  # no stage depends on it; this is where one sees what was in force
    done = {"stage": name, "seconds": round(seconds, 1), "summary": summary, "machine": machine}
    write_json(Path(f"data/times/{name}.json"), done)
    with RAN.open("a", encoding="utf-8") as ran:
        ran.write(f"{name}\n")
    print(f"{name}: {summary} [{seconds:.1f} s]", flush=True)


def _die_with_parent() -> None:
    """End this stage when DVC is killed, also where that happened before the stage could ask for it."""
    die_with_parent()
    parent = os.environ.get("EXPERIMENT_PID")  # killed before the line above? then the parent is already another
    if sys.platform == "linux" and parent is not None and os.getppid() != int(parent):
        raise SystemExit(f"experiment.py (process {parent}) is gone; this stage stops")


def _say(sentence: str) -> None:
    """Leave the reason to experiment.py, which ends with it; only a stage that runs without one says it itself."""
    write_text(ERROR, f"{sentence}\n")
    if "EXPERIMENT_PID" not in os.environ:
        print(f"error: {sentence}", file=sys.stderr, flush=True)


def _end(name: str) -> None:
    """Ctrl-C ends a stage as a kill would, from which it resumes: nothing is waited for, and one line is said."""
    _say(f"{name} was interrupted; the same command continues")
    os._exit(130)


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while a stage still imports its libraries; in a worker of a stage, nothing: the stage says it."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    elif multiprocessing.parent_process() is None:
        _end(Path(sys.argv[0]).stem)


sys.excepthook = _excepthook
