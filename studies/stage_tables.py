"""Tables of the stages, from dvc.yaml."""

from collections.abc import Callable
from pathlib import Path

from pipeline.core.yaml_text import read_yaml
from studies.markdown import table

DVC = Path(__file__).resolve().parent.parent / "dvc.yaml"


def reruns() -> str:
    """Package of the library -> the stages that list it."""
    stages = {name: stage["deps"] for name, stage in read_yaml(DVC)["stages"].items() if name != "params"}
    packages = sorted({path for deps in stages.values() for path in deps if path.startswith("pipeline/")})
    readers = {path: [f"`{name}`" for name, deps in stages.items() if path in deps] for path in packages}
    return table(["a change in", "reruns"], [[f"`{path}`", ", ".join(names)] for path, names in readers.items()])


TABLES: dict[str, Callable[[], str]] = {"reruns": reruns}
