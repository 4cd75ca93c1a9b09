"""A world of a seed with everything up to its dendrogram, made once by the ordinary stages in a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.activations.store import ActivationStore
from pipeline.codes.encoding import encode_store
from pipeline.core.files import building
from pipeline.core.settings import read_yaml
from pipeline.sae.build import build_dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.sae.settings import SAESettings
from studies.world.__main__ import make_home

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"


def seed_world(folder: Path, seed: int, until: str = "build_dendrogram") -> Path:
    """``folder/seed_N/data`` as the stages leave it under params.yaml with another seed; what is there is kept."""
    return make_home(folder / f"seed_{seed}", read_yaml(PARAMS), seed, until)


@contextmanager
def trained_on(data: Path, settings: SAESettings, seed: int) -> Iterator[tuple[Path, Path]]:
    """A dictionary trained on a world's store, and the store's codes: folders to be read inside the block."""
    with building(data / "variant") as scratch:
        sae, features = scratch / "sae", scratch / "features.zarr"
        for path in (sae, features):
            path.mkdir()
        store = ActivationStore.open(data / "activations.zarr")
        build_dictionary(store, settings, seed, "cpu", 2048, sae)
        encode_store(store, load_dictionary(sae), features, {})
        yield sae, features
