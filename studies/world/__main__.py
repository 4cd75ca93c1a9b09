"""The study: unlearning over seeds, levels, targets and methods; `python -m stages.study`, under runs/study.yaml.

Every cell is computed once and kept under data/study/; the same command goes on where it stopped. Finished cells are
gathered in docs/study/, in place of what is committed; `python -m benchmarks.doc_tables` makes the tables of them.
"""

import argparse
import copy
import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.activations.store import ActivationStore
from pipeline.core.errors import PipelineError
from pipeline.core.files import building, fingerprint, write_json
from pipeline.core.progress import track
from pipeline.params import Params, resolve
from pipeline.replication.sides import stand_in
from pipeline.sae.folder import save_dictionary
from studies.world.cells import computing, gathered, missing, plan

STUDY, RESULTS = Path("data/study"), Path("docs/study")
# The stages that make a home, and what each leaves when it is done.
OUTPUTS = {
    "params": "params.yaml",
    "prepare": "model",
    "cache_activations": "activations.zarr",
    "train_sae": "sae",
    "encode_features": "features.zarr",
    "correlate": "correlation.zarr",
    "build_dendrogram": "dendrogram",
}


def main() -> None:
    argparse.ArgumentParser(prog="python -m stages.study", description=__doc__).parse_args()
    try:
        params = resolve(Path("params.yaml"), Path("runs"), "study").params
        study(params)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def study(params: Params) -> None:
    """Make the homes, compute what is missing, and gather what there is after every target."""
    shaped_by = dataclasses.asdict(dataclasses.replace(params, report=None, evaluation=None, study=None))
    folder = (STUDY / fingerprint(shaped_by)[:12]).resolve()
    content = dataclasses.asdict(params)
    wanted = params.study
    for seed in dict.fromkeys((*wanted.seeds, *wanted.headline_seeds)):
        home = make_home(folder / f"seed_{seed}" / "home", content, seed)
        if wanted.random_dictionary_methods and seed in wanted.seeds:
            make_random_home(folder / f"seed_{seed}" / "random_home", home, content, seed)
    cells = plan(wanted)
    groups = missing(cells, folder)
    for _ in track(computing(groups, folder, params), "study", len(groups), "targets"):
        for kind, rows in gathered(cells, folder).items():
            write_json(RESULTS / f"{kind}.json", rows)


def make_home(place: Path, params: Mapping[str, Any], seed: int, until: str = "build_dendrogram") -> Path:
    """``place/data`` as the stages leave it under ``params`` with another seed; what is there is kept."""
    (place / "runs").mkdir(parents=True, exist_ok=True)
    seeded = copy.deepcopy(dict(params))
    seeded["run"]["seed"] = seed
    (place / "params.yaml").write_text(yaml.safe_dump(seeded), encoding="utf-8")
    for stage in list(OUTPUTS)[: list(OUTPUTS).index(until) + 1]:
        if not (place / "data" / OUTPUTS[stage]).exists():
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
            done = subprocess.run([sys.executable, "-m", f"{__package__}.{stage}"], cwd=place, env=environment)
            if done.returncode:
                raise PipelineError(f"{stage} of seed {seed} failed in {place}; its reason is above")
    return place / "data"


def make_random_home(place: Path, home: Path, params: Mapping[str, Any], seed: int) -> None:
    """The same world, model and store, with a dictionary of random directions and the tree that follows from it."""
    (place / "data").mkdir(parents=True, exist_ok=True)
    for name in ("corpus", "model", "activations.zarr"):
        if not (place / "data" / name).exists():
            (place / "data" / name).symlink_to(home / name)
    if not (place / "dictionary").exists():
        stranger = stand_in(ActivationStore.open(home / "activations.zarr"), home / "sae", seed)
        with building(place / "dictionary") as folder:
            save_dictionary(folder, stranger, {})
    make_home(place, params | {"sae": params["sae"] | {"pretrained": str(place / "dictionary")}}, seed)


if __name__ == "__main__":
    main()
