"""A Hugging Face cache filled by hand, in the layout that huggingface_hub and datasets read without a network."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_STRING = {"dtype": "string", "_type": "Value"}
_FEATURES = {
    str: _STRING,
    int: {"dtype": "int64", "_type": "Value"},
    list: {"feature": _STRING, "_type": "Sequence"},
}


def model_folder(home: Path, repo: str) -> Path:
    """The snapshot folder of a cached model, to be filled."""
    cached = home / "hub" / f"models--{repo.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    snapshot = cached / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def add_dataset(home: Path, repo: str, name: str, split: str, rows: list[dict[str, Any]]) -> None:
    """One split of one configuration of a cached data set."""
    short = repo.split("/")[-1]
    folder = home / "datasets" / repo.replace("/", "___") / name / "0.0.0" / COMMIT
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(folder / f"{short}-{split}.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    info = {
        "builder_name": "parquet",
        "dataset_name": short,
        "config_name": name,
        "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
        "features": {column: _FEATURES[type(value)] for column, value in rows[0].items()},
        "splits": {split: {"name": split, "num_bytes": 1, "num_examples": len(rows), "dataset_name": short}},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
