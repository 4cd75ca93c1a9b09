"""``data/correlation.zarr``: one group a scale, readable array by array."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pipeline.errors import PipelineError
from pipeline.hierarchy.correlation import Correlation, Pairs
from pipeline.hierarchy.source import Sums

PAIR_CHUNK = 1 << 20  # pairs in a chunk: 4 MiB of int32


def write_correlation(path: Path, result: Correlation, attributes: dict[str, Any]) -> None:
    """Add the group of ``result.scale`` to the Zarr folder at ``path``, in place of one that a killed run left."""
    group = zarr.open_group(path, mode="a").create_group(result.scale, overwrite=True)
    for name, array in _arrays(result).items():
        chunk = (max(1, min(PAIR_CHUNK, len(array))),)
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=chunk)[:] = array
    kept = {name: getattr(result, name) for name in ("scale", "window", "similarity", "floor")}
    group.attrs.update({**attributes, **kept, "n_units": result.sums.n_units})


def _arrays(result: Correlation) -> dict[str, np.ndarray]:
    sums, pairs = result.sums, result.pairs
    latents = {"n": sums.n, "s": sums.s, "q": sums.q}
    return {**latents, **pairs._asdict(), "significant": result.significant}


def read_correlation(path: Path, scale: str) -> Correlation:
    """What ``write_correlation`` wrote."""
    if not (path / scale).is_dir():
        raise PipelineError(f"{path}/{scale} is missing; run `uv run dvc repro correlate`")
    group = zarr.open_group(path, mode="r", path=scale)
    get = {name: group[name][:] for name in ("n", "s", "q", *Pairs._fields, "significant")}
    about = group.attrs
    return Correlation(
        scale=scale,
        window=about["window"],
        similarity=about["similarity"],
        floor=about["floor"],
        sums=Sums(about["n_units"], get["n"], get["s"], get["q"]),
        pairs=Pairs(*(get[name] for name in Pairs._fields)),
        significant=get["significant"],
    )
