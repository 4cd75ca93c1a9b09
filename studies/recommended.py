"""The recommended configuration, params.yaml as it stands: studies and benchmarks change a few values of it."""

from functools import cache
from pathlib import Path

from pipeline.params import Params, resolve

ROOT = Path(__file__).resolve().parent.parent


@cache
def recommended() -> Params:
    """params.yaml, checked."""
    return resolve(ROOT / "params.yaml", ROOT / "runs", None).params
