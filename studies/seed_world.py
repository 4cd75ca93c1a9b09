"""Worlds of several seeds, each with what the ordinary stages make of it, in folders of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.activations.store import ActivationStore
from pipeline.codes.encoding import encode_store
from pipeline.core.errors import PipelineError
from pipeline.core.files import building
from pipeline.core.yaml_text import as_yaml
from pipeline.params import Params
from pipeline.sae.build import build_dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.sae.settings import SAESettings
from studies.recommended import ROOT, recommended

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


def seed_world(folder: Path, seed: int, until: str = "build_dendrogram") -> Path:
    """``folder/seed_N/data`` as the stages leave it under params.yaml with another seed; what is there is kept."""
    return make_home(folder / f"seed_{seed}", recommended(), seed, until)


def make_home(place: Path, params: Params, seed: int, until: str = "build_dendrogram") -> Path:
    """``place/data`` as the stages leave it under ``params`` with another seed; what is there is kept."""
    (place / "runs").mkdir(parents=True, exist_ok=True)
    seeded = params.but(run=params.run.but(seed=seed))
    (place / "params.yaml").write_text(as_yaml(seeded.plain()), encoding="utf-8")
    for stage in list(OUTPUTS)[: list(OUTPUTS).index(until) + 1]:
        if not (place / "data" / OUTPUTS[stage]).exists():
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=place, env=environment)
            if done.returncode:
                raise PipelineError(f"{stage} of seed {seed} failed in {place}; its reason is above")
    return place / "data"


@contextmanager
def trained_on(data: Path, settings: SAESettings, seed: int) -> Iterator[tuple[Path, Path]]:
    """A dictionary trained on a world's store, and the store's codes: folders to be read inside the block."""
    with building(data / "variant") as scratch:
        sae, features = scratch / "sae", scratch / "features.zarr"
        for path in (sae, features):
            path.mkdir()
        store = ActivationStore.open(data / "activations.zarr")
        build_dictionary(store, settings, recommended().machine, seed, "cpu", sae)
        encode_store(store, load_dictionary(sae), features, {})
        yield sae, features
