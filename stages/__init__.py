"""The stages of dvc.yaml, one page each; what they share is how they start and end.

A stage's ``main`` reads its sections of data/params.yaml, opens its inputs, calls the library, writes its outputs and
returns one summary line.
"""

import argparse
import contextlib
import errno
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.core.processes import die_with_parent
from pipeline.core.yaml_text import read_yaml

# Idle OpenMP threads must sleep: spinning ones make two busy cores slower than one. OpenMP reads this when torch is
# first imported, which is after this module.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PARAMS = Path("data/params.yaml")
ERROR = Path("data/error.txt")  # why the last stage that ran stopped; experiment.py repeats it
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
RAN = Path("data/ran.txt")  # the stages that ran, a line each, since experiment.py last removed it


def run(name: str, main: Callable[[], str]) -> None:
    """Run a stage: a foreseen error, or a full disk, becomes one sentence and exit code 1; the wall time and the
    section ``machine`` are kept beside the results.

    A stage takes no arguments: `--help` says what it does, anything else is refused before it touches its outputs.
    """
    about = sys.modules[main.__module__].__doc__
    argparse.ArgumentParser(prog=f"python -m stages.{name}", description=about).parse_args()
    _die_with_parent()
    signal.signal(signal.SIGINT, lambda *_: _end(name))
    try:
        _leave(f"{name} was killed, as by a system short of memory; the same command continues")
        print(f"[{name}]", file=sys.stderr, flush=True)
        _work(name, main)
        ERROR.unlink(missing_ok=True)  # of several processes the first to end does it
    except PipelineError as error:
        _say(str(error))
        raise SystemExit(1) from None
    except Exception as error:
        if _disk_is_full(error):
            place = PARAMS.parent.absolute()
            _say(f"{name}: the disk that holds {place} is full; make room, and the same command continues")
            raise SystemExit(1) from None
        _leave(f"{name} failed with {type(error).__name__}: {' '.join(str(error).split())}")
        raise


def _work(name: str, main: Callable[[], str]) -> None:
    started = time.monotonic()
    summary = main()
    seconds = time.monotonic() - started
    machine = read_yaml(PARAMS)["machine"]  # no stage depends on it; this is where one sees what was in force
    done = {"stage": name, "seconds": round(seconds, 1), "summary": summary, "machine": machine}
    write_json(Path(f"data/times/{name}.json"), done)
    with RAN.open("a", encoding="utf-8") as ran:
        ran.write(f"{name}\n")
    print(f"{name}: {summary} [{seconds:.1f} s]", flush=True)


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether that is what an error comes from; some libraries keep no more of it than the system's own words."""
    while error is not None:
        if getattr(error, "errno", None) in FULL or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _die_with_parent() -> None:
    """End this stage when DVC is killed, also where that happened before the stage could ask for it."""
    die_with_parent()
    parent = os.environ.get("EXPERIMENT_PID")  # killed before the line above? then the parent is already another
    if sys.platform == "linux" and parent is not None and os.getppid() != int(parent):
        raise SystemExit(f"experiment.py (process {parent}) is gone; this stage stops")


def _leave(sentence: str) -> None:
    """Write why the stage stopped over what it left when it began: a full disk has room for that."""
    ERROR.parent.mkdir(exist_ok=True)
    with ERROR.open("r+" if ERROR.exists() else "w", encoding="utf-8") as file:
        file.write(f"{sentence}\n")
        file.truncate()


def _say(sentence: str) -> None:
    """Leave the reason to experiment.py, which ends with it; only a stage that runs without one says it itself."""
    with contextlib.suppress(OSError):  # no room for a first word even
        _leave(sentence)
        if "EXPERIMENT_PID" in os.environ:
            return
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
