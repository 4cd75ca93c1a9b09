"""A look into an activation store without torch: norms, and which tokens stand in its rows."""

from pathlib import Path

import numpy as np

from pipeline.activations.location import open_group


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
