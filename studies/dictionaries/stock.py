"""Are our sae-bench figures those of stock sae-bench? On the data of a finished run, such as the embedded world's.

    uv run python -m studies.dictionaries.stock

runs core and sparse probing of data/sae twice, with the sizes of params.yaml: by the pipeline's worker, and by hand as
sae-bench's README has it on the folder that SAELens opens. Writes results/stock.json: every figure of both.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import write_json
from pipeline.core.processes import MachineSettings
from pipeline.core.settings import RunSettings, read_section
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.saebench.job import Job, bench_settings, read_job
from pipeline.saebench.results import flat_metrics
from pipeline.saebench.run import environment, run_saebench

RESULT = Path(__file__).parent / "results/stock.json"
EVALS = ("core", "sparse_probing")


def main(data: Path) -> None:
    params = data / "params.yaml"
    layer = read_section(params, ActivationsSettings, "activations").layer
    evaluation = read_section(params, EvaluationSettings, "evaluation")
    machine, seed = read_section(params, MachineSettings, "machine"), read_section(params, RunSettings, "run").seed
    with tempfile.TemporaryDirectory() as scratch:
        ours, stock = Path(scratch) / "ours", Path(scratch) / "stock"
        sizes = bench_settings(evaluation, machine, seed, "cpu")
        summary = run_saebench(data / "model", data / "sae", data / "corpus", ours, EVALS, layer, sizes)
        by_hand = [sys.executable, "-m", "studies.dictionaries.stock", str(ours / "job.json"), str(stock)]
        # Where sae-bench keeps its artifacts relative to the working directory, nothing of the checkout is touched.
        subprocess.run(by_hand, cwd=scratch, env=environment(read_job(ours / "job.json"), os.environ), check=True)
        found = {name: _both(summary["metrics"][name], flat_metrics(stock / name, "stock")) for name in EVALS}
    write_json(RESULT, found)
    for name, figures in found.items():
        print(f"{name}: {len(figures)} figures, largest difference {max(abs(a - b) for a, b in figures.values()):.1e}")


def _both(ours: dict[str, float], stock: dict[str, float]) -> dict[str, list[float]]:
    return {name: [ours[name], value] for name, value in stock.items()}


def stock_by_hand(job: Job, folder: Path) -> None:
    """sae-bench as its own README has it, on the SAE that SAELens opens; the activation cache is filled first."""
    import torch
    from sae_bench.custom_saes.identity_sae import IdentitySAE
    from sae_bench.evals.core.main import multiple_evals
    from sae_bench.evals.sparse_probing import main as sparse_probing
    from sae_lens import SAE

    from pipeline.saebench.data import read_probing, text_folder
    from pipeline.saebench.evals.sparse_probing import config

    def opened() -> list:
        sae = SAE.load_from_disk(job.sae_dir)
        sae.fold_W_dec_norm()  # as sae-bench does with an SAE from the hub
        sae.cfg.metadata.model_name, sae.cfg.metadata.hook_name = job.model_name, job.hook_name
        sae.cfg.metadata.prepend_bos = True
        return [("stock", sae)]

    width = opened()[0][1].cfg.d_in  # sae-bench draws new texts for every k, so the list must be the same
    settings = replace(job.settings, k_values=tuple(k for k in job.settings.k_values if k <= width))
    text = text_folder(job.corpus_dir, folder / "text", settings.seed)
    multiple_evals(
        selected_saes=opened(),
        n_eval_reconstruction_batches=settings.core_reconstruction_batches,
        n_eval_sparsity_variance_batches=settings.core_sparsity_batches,
        eval_batch_size_prompts=16,
        compute_featurewise_density_statistics=True,
        compute_featurewise_weight_based_metrics=True,
        exclude_special_tokens_from_reconstruction=True,
        dataset=str(text),
        context_size=settings.context_length,
        output_folder=str(folder / "core"),
        dtype=settings.core_dtype,
        device="cpu",
    )
    evaluation = config(replace(job, settings=settings), list(read_probing(job.corpus_dir)))
    place = (width, job.model_name, job.hook_layer, torch.device("cpu"), torch.float32)
    filling = [("identity", IdentitySAE(*place))]
    for part, saes in (("filling", filling), ("sparse_probing", opened())):
        sparse_probing.run_eval(evaluation, saes, "cpu", str(folder / part), artifacts_path=str(folder / "activations"))


if __name__ == "__main__":
    if len(sys.argv) == 3:  # the process of the stock evals
        from pipeline.saebench.data import serve_probing
        from pipeline.saebench.model import serve

        asked = read_job(Path(sys.argv[1]))
        serve(asked.model_dir, asked.model_name)  # neither a local model nor local texts have names that are known
        serve_probing(asked.corpus_dir)
        stock_by_hand(asked, Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data"))
