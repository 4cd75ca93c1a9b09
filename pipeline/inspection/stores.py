"""The activation store and the dictionary, read without torch: what they are, how large, and a few rows as text."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.activations.location import ADDRESS, open_group
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.language_model.token_text import TokenText

BINS, SEQUENCES, WORDS = 12, 3, 24  # of the norms' histogram; shown, and tokens of each
_QUALITY = ("explained_variance", "l0", "dead_share", "ce_loss_recovered", "spliced_cloze")


def norms(path: Path) -> np.ndarray:
    """Euclidean norms of the rows of the first windows, at most a few million; float32 [n]."""
    return open_group(path, "r")["norm"][: 1 << 22]


def first_sequences(path: Path, count: int) -> list[dict[str, np.ndarray]]:
    """``token_id``, ``pos`` and ``norm`` of the first sequences in the store, each in text order."""
    group = open_group(path, "r")
    window = slice(0, group["token_id"].chunks[0])
    seq_id, pos = group["seq_id"][window], group["pos"][window]
    order = np.lexsort((pos, seq_id))
    starts = np.flatnonzero(np.diff(seq_id[order], prepend=-1))[: count + 1]
    arrays = {name: group[name][window] for name in ("doc_id", "token_id", "norm")} | {"pos": pos}
    stops = [*starts[1:], len(order)][:count]
    return [
        {name: values[order[start:stop]] for name, values in arrays.items()}
        for start, stop in zip(starts, stops, strict=False)
    ]


def activations(store: Path, model: Path) -> dict[str, Any]:
    """Provenance, every array with its shape, chunks, dtype and size on disk, the rows' norms, some rows as text.

    The arrays of further hook points come after the store's own, as ``also/<hook point>/<array>``.
    """
    if (store / ADDRESS).exists():
        raise PipelineError(f"{store} stands for {read_json(store / ADDRESS)['url']}; open that with zarr to see it")
    if not (store / "zarr.json").exists():
        raise PipelineError(f"{store} is missing; run `uv run dvc repro cache_activations`")
    attributes = read_json(store / "zarr.json")["attributes"]
    folders = [*sorted(store.iterdir()), *sorted(store.glob("also/*/*"))]
    arrays = [_array(folder, store) for folder in folders if (folder / "zarr.json").exists()]
    plain = {key: value for key, value in attributes.items() if not isinstance(value, list)}
    about = {"store": str(store), "gb_on_disk": round(sum(row.get("mb_on_disk", 0) for row in arrays) / 1e3, 3)}
    about["total_variance"] = float(open_group(store, "r")["variance"][:].sum())  # what an SAE has to explain
    return {**about, **plain, "arrays": arrays, "norms": histogram(norms(store)), "rows": _as_text(store, model)}


def histogram(norm_n: np.ndarray) -> list[dict[str, Any]]:
    """Equal bins from the least to the largest norm; a few huge ones at the end betray special tokens."""
    counts, edges = np.histogram(norm_n, bins=BINS)
    return [
        {
            "norm from": round(float(low), 2),
            "to": round(float(high), 2),
            "rows": int(count),
            "": "#" * _bar(count, counts),
        }
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]


def _bar(count: int, counts: np.ndarray) -> int:
    return int(np.ceil(40 * count / counts.max()))


def _as_text(store: Path, model: Path) -> list[dict[str, Any]]:
    tokens = TokenText.open(model)
    return [
        {
            "document": int(rows["doc_id"][0]),
            "positions": f"{rows['pos'][0]} to {rows['pos'][-1]}",
            "mean_norm": round(float(rows["norm"].mean()), 2),
            "text": "".join(tokens.piece(int(token)) for token in rows["token_id"][:WORDS]).strip(),
        }
        for rows in first_sequences(store, SEQUENCES)
    ]


def _array(folder: Path, store: Path) -> dict[str, Any]:
    name, about = str(folder.relative_to(store)), read_json(folder / "zarr.json")
    if about["node_type"] != "array":
        return {"array": f"{name}/", "shape": "a group of its own"}
    chunks = about["chunk_grid"]["configuration"]["chunk_shape"]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "array": name,
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
        "trained as": _trained_as(training, config.get("architecture", "dictionary")),
        **{key: value for key, value in config.items() if not isinstance(value, dict | list)},
        **{f"metadata.{key}": value for key, value in config.get("metadata", {}).items()},
        "on the store": training["final"],
        "on test text": {key: round(means[key], 4) for key in _QUALITY if key in means},
        "curves": [{key: row.get(key) for key in ("step", *_QUALITY[:3], "loss")} for row in _some(training["curves"])],
    }


def _trained_as(training: dict[str, Any], saved: str) -> str:
    """SAELens' ``architecture`` is the form of the file: all but TopK become a JumpReLU with fixed thresholds."""
    settings = training.get("settings", {})
    trained = str(settings.get("pretrained") or settings.get("architecture", "not known"))
    return trained if trained == saved else f"{trained}, its thresholds then fixed: in the file a {saved}"


def _some(rows: list[dict[str, Any]], most: int = 12) -> list[dict[str, Any]]:
    """Evenly spaced rows, the last one included."""
    step = max(1, -(-len(rows) // most))
    return rows[::-1][::step][::-1]
