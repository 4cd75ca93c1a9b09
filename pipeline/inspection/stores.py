"""The activation store and the dictionary, from their descriptions alone: no array is read."""

from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.files import read_json

_QUALITY = ("explained_variance", "l0", "dead_share", "ce_loss_recovered", "spliced_cloze")


def activations(store: Path) -> dict[str, Any]:
    """Provenance, and every array with its shape, chunks, dtype and size on disk."""
    if not (store / "zarr.json").exists():
        raise PipelineError(f"{store} is missing; run `uv run dvc repro cache_activations`")
    attributes = read_json(store / "zarr.json")["attributes"]
    arrays = [_array(folder) for folder in sorted(store.iterdir()) if (folder / "zarr.json").exists()]
    plain = {key: value for key, value in attributes.items() if not isinstance(value, list)}
    return {"store": str(store), **plain, "arrays": arrays}


def _array(folder: Path) -> dict[str, Any]:
    about = read_json(folder / "zarr.json")
    if about["node_type"] != "array":
        return {"array": f"{folder.name}/", "shape": "a group of its own"}
    chunks = about["chunk_grid"]["configuration"]["chunk_shape"]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "array": folder.name,
        "shape": "x".join(map(str, about["shape"])),
        "chunks": "x".join(map(str, chunks)),
        "dtype": about["data_type"],
        "mb_on_disk": round(size / 1e6, 2),
    }


def sae(folder: Path, evaluation: Path) -> dict[str, Any]:
    """What the dictionary is, how it was trained, how good it is."""
    config, training = read_json(folder / "cfg.json"), read_json(folder / "training.json")
    file = evaluation / "sae.json"
    means = read_json(file)["sae"]["means"] if file.exists() else {}
    return {
        "sae": str(folder),
        **{key: value for key, value in config.items() if not isinstance(value, dict | list)},
        **{f"metadata.{key}": value for key, value in config.get("metadata", {}).items()},
        "on the store": training["final"],
        "on test text": {key: round(means[key], 4) for key in _QUALITY if key in means},
        "curves": [{key: row.get(key) for key in ("step", *_QUALITY[:3], "loss")} for row in _some(training["curves"])],
    }


def _some(rows: list[dict[str, Any]], most: int = 12) -> list[dict[str, Any]]:
    """Evenly spaced rows, the last one included."""
    step = max(1, -(-len(rows) // most))
    return rows[::-1][::step][::-1]
