"""A world of a seed with everything up to its dendrogram, made once by the ordinary stages in a folder of its own."""

from pathlib import Path

from pipeline.settings.strict import read_yaml
from stages.study import make_home

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"


def seed_world(folder: Path, seed: int, until: str = "build_dendrogram") -> Path:
    """``folder/seed_N/data`` as the stages leave it under params.yaml with another seed; what is there is kept."""
    return make_home(folder / f"seed_{seed}", read_yaml(PARAMS), seed, until)
