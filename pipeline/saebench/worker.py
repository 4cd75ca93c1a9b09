"""``python -m pipeline.evaluation.saebench.worker job.json``: the evals of one job, in a process of their own.

Its environment, working directory and memory are its own, so that nothing of sae-bench (slow imports, replaced
functions, relative paths, tens of gigabytes of activations) reaches the pipeline. Each eval leaves ``done.json`` or
``failed.json`` in its folder; one that ends the whole process leaves only ``started.json``.
"""

import os
import resource
import shutil
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json
from pipeline.core.processes import prepare_process
from pipeline.saebench.job import Job, read_job


def main(job_path: Path) -> None:
    """Run the job's evals one after another; an exception in one costs that one only."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = read_job(job_path)
    prepare_process(job.settings.threads)
    from pipeline.saebench import model

    model.serve(job.model_dir, job.model_name)
    for name in job.evals:
        folder = job.out_dir / name
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / "started.json", {"eval": name})
        started = time.monotonic()
        try:
            run_one(job, name, folder)
        except Exception as error:
            traceback.print_exc()
            write_json(folder / "failed.json", {"reason": _sentence(error)})
        else:
            seconds = round(time.monotonic() - started, 1)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            done = {"fingerprint": job.fingerprint(name), "seconds": seconds, "peak_mb": peak_mb}
            write_json(folder / "done.json", done)


def run_one(job: Job, name: str, folder: Path) -> None:
    """One eval of all SAEs of the job; its result files are checked against sae-bench's own schema."""
    from pipeline.sae.folder import load_dictionary
    from pipeline.saebench.sae import bench_saes

    scratch = job.out_dir / "scratch" / name
    shutil.rmtree(scratch, ignore_errors=True)  # a cache that a killed worker left may be torn
    scratch.mkdir(parents=True)
    run, schema = _eval(name)
    saes = bench_saes(job, load_dictionary(job.sae_dir))
    run(job, saes, folder, scratch)
    for sae_name, _ in saes:
        TypeAdapter(schema).validate_python(read_json(folder / f"{sae_name}_custom_sae_eval_results.json"))
    shutil.rmtree(scratch)


def _end_with_parent() -> None:
    """Stdin is a pipe from the pipeline; it ends when the pipeline is killed, and so does this process."""
    os.read(0, 1)
    os._exit(1)


def _eval(name: str) -> tuple[Callable, type]:
    """The function that runs an eval, and the type of its results. Imported late: each import takes seconds."""
    if name == "core":
        from sae_bench.evals.core.eval_output import CoreEvalOutput

        from pipeline.saebench.evals import core

        return core.run, CoreEvalOutput
    if name == "sparse_probing":
        from sae_bench.evals.sparse_probing.eval_output import SparseProbingEvalOutput

        from pipeline.saebench.evals import sparse_probing

        return sparse_probing.run, SparseProbingEvalOutput
    if name in ("scr", "tpp"):
        from sae_bench.evals.scr_and_tpp.eval_output import ScrEvalOutput, TppEvalOutput

        from pipeline.saebench.evals import scr_tpp

        return (scr_tpp.run_scr, ScrEvalOutput) if name == "scr" else (scr_tpp.run_tpp, TppEvalOutput)
    if name == "sae_probes":
        # It imports xgboost (half a gigabyte, left out of the installation) for a baseline that is not run here.
        sys.modules.setdefault("xgboost", types.ModuleType("xgboost"))
        from sae_bench.evals.sparse_probing_sae_probes.eval_output import SparseProbingSaeProbesEvalOutput

        from pipeline.saebench.evals import sae_probes

        return sae_probes.run, SparseProbingSaeProbesEvalOutput
    if name == "absorption":
        from sae_bench.evals.absorption.eval_output import AbsorptionEvalOutput

        from pipeline.saebench.evals import absorption

        return absorption.run, AbsorptionEvalOutput
    if name == "unlearning":
        from sae_bench.evals.unlearning.eval_output import UnlearningEvalOutput

        from pipeline.saebench.evals import unlearning

        return unlearning.run, UnlearningEvalOutput
    raise ValueError(f"no eval is called {name}")


def _sentence(error: Exception) -> str:
    """A foreseen error's own sentence; of any other its type and first line."""
    if isinstance(error, PipelineError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
