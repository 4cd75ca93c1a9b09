"""Run every stage whose inputs changed, then put the results into --out_dir.

The folder's name selects the configuration: with --out_dir=run_3, params.yaml under runs/run_3.yaml, where there is
such a file. Stages keep their work in data/ and the cache, so another call continues where this one stopped.
"""

import argparse
import contextlib
import difflib
import errno
import fcntl
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DATA, RUNS = ROOT / "data", ROOT / "runs"
ERROR, RAN = DATA / "error.txt", DATA / "ran.txt"  # written by stages/__init__.py
SAE_BENCH = DATA / "evaluation" / "sae_bench" / "summary.json"  # written by stages/evaluate.py
FOUND = DATA / "times" / "report.json"  # written by stages/__init__.py
EXPORTED_FILES = DATA / "final_info.json", DATA / "params.yaml", ROOT / "dvc.lock"
EXPORTED_FOLDERS = DATA / "report", DATA / "times"


def main() -> None:
    """Exits with 1 when there are no results, with 3 when there are but an eval of sae-bench failed.

    The last line on stderr then says why.
    """
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out_dir", required=True, help="folder for the results")
    out_dir = Path(os.path.abspath(parser.parse_args().out_dir))  # noqa: PTH100 (resolve() loses a link's own name)
    os.chdir(ROOT)
    try:
        refuse(out_dir)
        refuse_configuration(out_dir.name)
        with selected(out_dir.name):
            print(f"{out_dir.name}: {reproduce()}")
            export(out_dir.resolve())
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; use `uv run python experiment.py`")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command continues")
    except OSError as reason:
        full = reason.errno in (errno.ENOSPC, errno.EDQUOT)
        sys.exit(f"error: {f'the disk that holds {ROOT} is full; make room, and run again' if full else reason}")
    print(f"{out_dir.name}: results are in {out_dir}")
    print(f"found: {finding()}\nopen this: {out_dir / 'report' / 'index.html'}")
    if failed := failed_evals():
        reasons = "; ".join(f"sae-bench's {name} failed: {' '.join(reason.split())}" for name, reason in failed.items())
        print(f"error: {reasons}; all else is in {out_dir}, and the same command tries again", file=sys.stderr)
        sys.exit(3)


def refuse(out_dir: Path) -> None:
    """Stop before any work if the results could not be put there without loss."""
    place = out_dir.resolve()
    above = next(folder for folder in (place, *place.parents) if folder.exists())
    if not is_writable(above):
        sys.exit(f"error: --out_dir {out_dir}: {above} is not a folder that can be written to; name another")
    if DATA in (place, *place.parents) or place in DATA.parents:
        sys.exit(f"error: --out_dir {out_dir} is the project itself or in its data/; name another folder")
    if above == place and any(place.iterdir()) and not (place / "final_info.json").exists():
        sys.exit(f"error: --out_dir {out_dir} is not empty and holds no final_info.json; name another folder")
    if near := meant(out_dir.name):
        sys.exit(
            f"error: there is no runs/{out_dir.name}.yaml; did you mean --out_dir={near}? If not, choose a name less "
            f"like it, or add an empty runs/{out_dir.name}.yaml, to run params.yaml as it is"
        )


def is_writable(folder: Path) -> bool:
    """Asked by writing: root may write everywhere, by the modes, and yet not in /proc or on a read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def meant(name: str) -> str | None:
    """The planned run that ``name`` is a slip of: the same numbers, and nearly the same letters."""
    planned = [path.stem for path in RUNS.glob("*.yaml")]
    alike = [run for run in planned if numbers(run) == numbers(name)]
    return None if name in planned else next(iter(difflib.get_close_matches(name.lower(), alike, cutoff=0.7)), None)


def numbers(name: str) -> list[int]:
    """The whole numbers in a name, in order."""
    return [int(digits) for digits in re.findall(r"\d+", name)]


def refuse_configuration(name: str) -> None:
    """Stop at what params.yaml and the overlay alone tell; stage `params` asks the same, after seconds of imports."""
    from pipeline.core.errors import PipelineError
    from pipeline.params import check_for_all_stages, resolve

    try:
        check_for_all_stages(resolve(Path("params.yaml"), Path("runs"), name).params)
    except PipelineError as error:
        sys.exit(f"error: {error}")


@contextlib.contextmanager
def selected(name: str) -> Iterator[None]:
    """Keep ``name`` in data/run for the params stage (and later `dvc repro`s); one run at a time in a clone.

    A run whose configuration is refused leaves the name, like the data, of the run before.
    """
    with (DATA / "run").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("error: another experiment.py is running in this clone; wait for it or stop it")
        before = (DATA / "run").read_text(encoding="utf-8")
        overwrite(DATA / "run", f"{name}\n")
        try:
            yield
        except BaseException:
            if not RAN.exists():  # not even the params stage ended
                overwrite(DATA / "run", before)
            raise


def overwrite(file: Path, text: str) -> None:
    """In place: the lock stays on it, and a full disk leaves what was there."""
    with file.open("r+", encoding="utf-8") as content:
        content.write(text)
        content.truncate()


def reproduce() -> str:
    """Run what is stale, as `dvc repro` does; returns a sentence about what ran."""
    ERROR.unlink(missing_ok=True)
    RAN.unlink(missing_ok=True)
    # Stages are started as `python` through a shell: this Python, and a shell that is one (SHELL may be nologin).
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.update(PATH=path, SHELL="/bin/sh", EXPERIMENT_PID=str(os.getpid()))  # a stage dies with that process
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # ten stages would compile torch and transformers anew, 20 s each
    from dvc.exceptions import DvcException

    from repository import drop_bad_lock_file, open_repository

    logging.getLogger("dvc").setLevel(logging.WARNING)  # the stages speak for themselves
    if said := drop_bad_lock_file(ROOT / "dvc.lock"):
        print(said, flush=True)
    try:
        with open_repository(ROOT) as repo:
            changed = [stage.name for stage in repo.reproduce()]
            if failed_evals() and "evaluate" not in RAN.read_text(encoding="utf-8").split():
                changed += [stage.name for stage in repo.reproduce("evaluate", single_item=True, force=True)]
                changed += [stage.name for stage in repo.reproduce()]
    except DvcException as error:
        reason = ERROR.read_text(encoding="utf-8") if ERROR.exists() else f"{error.__cause__ or error}"
        if not reason.strip():  # the full disk had no room for it, so the stage has said it itself
            sys.exit(1)
        sys.exit(f"error: {' '.join(reason.split())}")
    ran = RAN.read_text(encoding="utf-8").split()  # the first is `params`, which always runs
    restored = [name for name in changed if name not in ran]
    sentence = f"ran {', '.join(ran[1:])}" if ran[1:] else "nothing reran"
    return f"{sentence}; restored from the cache: {', '.join(restored)}" if restored else sentence


def finding() -> str:
    """What the run found, in the sentence that stage `report` ended with."""
    return json.loads(FOUND.read_text(encoding="utf-8"))["summary"]


def failed_evals() -> dict[str, str]:
    """The evals of sae-bench that the figures lack, with their reasons: a download, a gated data set, a crash."""
    return json.loads(SAE_BENCH.read_text(encoding="utf-8"))["failed"] if SAE_BENCH.exists() else {}


def export(place: Path) -> None:
    """Fill a folder beside ``place``, then swap the two: a run is whole, and what else was in its folder stays."""
    fresh, old = place.with_name(f".{place.name}.new"), place.with_name(f".{place.name}.old")
    keep(old, place)  # if the last call was killed between the renames below
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for source in EXPORTED_FOLDERS:
        shutil.copytree(source, fresh / source.name, copy_function=shutil.copyfile)  # not the cache's read-only mode
    for source in EXPORTED_FILES:
        shutil.copyfile(source, fresh / source.name)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    keep(old, place)


def keep(old: Path, place: Path) -> None:
    """Bring what the user had in the old folder into the new one."""
    if old.exists() and not place.exists():
        old.rename(place)
    for theirs in old.glob("*"):
        if not (place / theirs.name).exists():
            theirs.rename(place / theirs.name)
    shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    main()
