"""Sparse probing of two vanilla dictionaries on the embedded world, for a run's own figures to stand beside.

    uv run python -m studies.dictionaries.baselines FOLDER

trains them on the world of seed 0 in FOLDER (made there where it is missing) and probes them with sae-bench as
``evaluate`` does by default. Writes data/baselines/sparse_probing_world.json, which is part of the product.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.files import read_json, write_json
from pipeline.core.settings import RunSettings, read_section
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.params import resolve
from pipeline.sae.settings import SAESettings
from pipeline.saebench.job import bench_settings
from pipeline.saebench.results import flat, result_path
from pipeline.saebench.run import run_saebench
from studies.seed_world import PARAMS, seed_world, trained_on

ROOT = PARAMS.parent
RESULT = ROOT / "data/baselines/sparse_probing_world.json"
SEED = 0
# Tuned: of the weights that objectives.py sweeps at the default's learning rate, the sparsest (L0 21 for the default's
# 16) that still explains .95 of the variance.
TUNED = SAESettings(architecture="relu", l1=0.1, tree_penalty=0)


def main(folder: Path) -> None:
    data = seed_world(folder, SEED, until="cache_activations")
    seeds_own = resolve(PARAMS, ROOT / "runs", "run_0").params.sae
    dictionaries = {"run_0: ReLU, L1 0.04, lr 3e-4": seeds_own, "tuned: ReLU, L1 0.1, lr 2e-3": TUNED}
    found = {name: probed(data, settings) for name, settings in dictionaries.items()}
    details = next(iter(found.values()))["eval_result_details"]
    write_json(
        RESULT,
        {
            "made_by": "uv run python -m studies.dictionaries.baselines FOLDER",
            "datasets": [row["dataset_name"] for row in details],
            "dictionaries": {name: flat(result) for name, result in found.items()},
        },
    )


def probed(data: Path, settings: SAESettings) -> dict:
    """sae-bench's result file."""
    layer = read_section(PARAMS, ActivationsSettings, "activations").layer
    evaluation, shared = (
        read_section(PARAMS, EvaluationSettings, "evaluation"),
        read_section(PARAMS, RunSettings, "run"),
    )
    sizes = bench_settings(evaluation, replace(shared, seed=SEED), "cpu")
    with trained_on(data, settings, SEED) as (sae, _), TemporaryDirectory() as scratch:
        place = Path(scratch)
        run_saebench(data / "model", sae, data / "corpus", place, ("sparse_probing",), layer, sizes)
        return read_json(result_path(place / "sparse_probing", "sae"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
