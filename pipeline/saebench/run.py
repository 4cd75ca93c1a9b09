"""Run the real sae-bench on a model folder and an SAE folder, and sum up what it wrote."""

import hashlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pipeline
from pipeline.core.errors import PipelineError
from pipeline.core.files import fingerprint, read_json, write_json
from pipeline.language_model.loading import model_identity, model_source
from pipeline.saebench.job import EVALS, BenchSettings, Edit, Job
from pipeline.saebench.results import flat_metrics, spread

WORKER = "pipeline.saebench.worker"
_PACKAGES = ("sae-bench", "sae-lens", "transformer-lens", "transformers", "torch")


def run_saebench(
    model_dir: Path,
    sae_dir: Path,
    corpus_dir: Path,
    out_dir: Path,
    evals: tuple[str, ...],
    hook_layer: int,
    settings: BenchSettings,
    edits: Mapping[str, Edit] | None = None,
    site: str = "resid_post",
) -> dict:
    """Evaluate the SAE, and each of its ``edits``, with sae-bench; returns and writes ``out_dir/summary.json``.

    ``out_dir/<eval>/<sae or edit>_custom_sae_eval_results.json`` is what sae-bench wrote, ``out_dir/worker.log`` what
    it said. The summary, with sae-bench's own metric names, is ``{"metrics": {eval: {name: value}}, "stderrs": the same
    over data sets, "edited": {edit: {eval: {name: value}}}, "unlearning_corrected": {ranking: score}, "failed": {eval:
    reason}, "seconds", "peak_mb", "model_name", "versions"}``.

    An eval that fails, or takes its whole process down, is in ``failed`` and costs no other; one that finished earlier
    in the same ``out_dir`` with the same inputs is not run again.
    """
    for name in evals:
        if name not in EVALS:
            raise PipelineError(f"sae-bench eval {name!r} is unknown; choose from {', '.join(EVALS)}")
    job = _job(model_dir, sae_dir, corpus_dir, out_dir, evals, f"blocks.{hook_layer}.hook_{site}", settings, edits)
    failed = _run_pending(job)
    summary = _summary(job, failed)
    write_json(out_dir / "summary.json", summary)
    shutil.rmtree(out_dir / "scratch", ignore_errors=True)
    return summary


def keep(out_dir: Path, place: Path, evals: tuple[str, ...]) -> None:
    """Copy what ``run_saebench`` wrote. ``out_dir`` itself stays, so that a finished eval is never run again."""
    place.mkdir(parents=True)
    shutil.copyfile(out_dir / "summary.json", place / "summary.json")
    for name in evals:
        if (out_dir / name).exists():
            shutil.copytree(out_dir / name, place / name)


def environment(job: Job, inherited: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment: sae-bench needs these before it is imported."""
    variables = dict(inherited) | {
        # newer beartype checks inside containers and refuses sparse probing's train and test sizes
        "JAXTYPING_DISABLE": "1",
        "HF_DATASETS_CACHE": str(job.out_dir / "scratch" / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(job.settings.threads),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_root()), inherited.get("PYTHONPATH", "")])),
        "WANDB_MODE": "disabled",
    }
    if job.settings.data == "local":  # fail at once where something would be downloaded
        variables |= dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    return variables


def _job(
    model_dir: Path,
    sae_dir: Path,
    corpus_dir: Path,
    out_dir: Path,
    evals: tuple[str, ...],
    hook_name: str,
    settings: BenchSettings,
    edits: Mapping[str, Edit] | None,
) -> Job:
    identity, source = model_identity(model_dir), Path(model_source(model_dir).id)
    local = source.is_dir()
    return Job(
        model_dir=(source if local else model_dir).absolute(),
        sae_dir=sae_dir.absolute(),
        corpus_dir=corpus_dir.absolute(),
        out_dir=out_dir.absolute(),
        evals=evals,
        hook_layer=int(hook_name.split(".")[1]),
        hook_name=hook_name,
        # A local model never bears a public name: some evals keep caches under it.
        model_name=f"local-{identity['weights_sha256'][:8]}" if local else identity["id"],
        content=fingerprint(
            [identity, _digest(sae_dir), _digest(corpus_dir), _digest(Path(__file__).parent), _versions()]
        ),
        settings=settings,
        edits=dict(edits or {}),
    )


def _run_pending(job: Job) -> dict[str, str]:
    """Start workers until every eval is done or has failed; returns the reasons."""
    failed: dict[str, str] = {}
    while True:
        pending = tuple(name for name in job.evals if name not in failed and not _is_done(job, name))
        if not pending:
            return failed
        for name in pending:
            shutil.rmtree(job.out_dir / name, ignore_errors=True)
        code = _worker(replace(job, evals=pending))
        for name in pending:
            if (job.out_dir / name / "failed.json").exists():
                failed[name] = read_json(job.out_dir / name / "failed.json")["reason"]
            elif (job.out_dir / name / "started.json").exists() and not _is_done(job, name):
                failed[name] = f"the worker process ended with {_ending(code)} while it ran {name}"
        if not any(name in failed or _is_done(job, name) for name in pending):
            reason = f"the worker process ended with {_ending(code)} before any eval: {_last_line(job)}"
            return failed | dict.fromkeys(pending, reason)


def _worker(job: Job) -> int:
    """One worker process; returns its exit code (negative: a signal)."""
    scratch = job.out_dir / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    job.write(job.out_dir / "job.json")
    command = [sys.executable, "-m", WORKER, str(job.out_dir / "job.json")]
    environ = environment(job, os.environ)
    # The worker ends when its stdin does, so that it never outlives a killed pipeline.
    with (
        (job.out_dir / "worker.log").open("a", encoding="utf-8") as log,
        subprocess.Popen(command, cwd=scratch, env=environ, stdin=subprocess.PIPE, stdout=log, stderr=log) as process,
    ):
        return process.wait()


def _is_done(job: Job, name: str) -> bool:
    done = job.out_dir / name / "done.json"
    return done.exists() and read_json(done)["fingerprint"] == job.fingerprint(name)


def _summary(job: Job, failed: dict[str, str]) -> dict:
    finished = [name for name in job.evals if name not in failed]
    done = {name: read_json(job.out_dir / name / "done.json") for name in finished}
    return {
        "metrics": {name: flat_metrics(job.out_dir / name, "sae") for name in finished},
        "stderrs": {name: spread(job.out_dir / name, "sae") for name in finished},
        "edited": {edit: {name: flat_metrics(job.out_dir / name, edit) for name in finished} for edit in job.edits},
        "unlearning_corrected": _corrected(job) if "unlearning" in finished else {},
        "failed": failed,
        "seconds": {name: done[name]["seconds"] for name in finished},
        "peak_mb": {name: done[name]["peak_mb"] for name in finished},
        "model_name": job.model_name,
        # sae-bench records the caller's git commit as its own; these are what really ran
        "versions": _versions(),
    }


def _corrected(job: Job) -> dict:
    """The corrected unlearning score beside the published one, for the SAE's own ranking and for each edit's."""
    return {name: read_json(job.out_dir / "unlearning" / f"{name}_corrected.json") for name in ("sae", *job.edits)}


def _versions() -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in _PACKAGES}


def _digest(folder: Path) -> str:
    """A hash of the names and bytes of the files of a folder (not of its sub-folders)."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(path.name.encode())
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _last_line(job: Job) -> str:
    lines = (job.out_dir / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _root() -> Path:
    """The folder that holds the package ``pipeline``."""
    return Path(pipeline.__file__).absolute().parents[1]
