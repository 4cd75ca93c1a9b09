"""Train, dev and test, so that a row is in the same one wherever it is used."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Split = Literal["train", "dev", "test"]

# Test gets as much as train: with the 20 questions of a TOFU author that is 8 to unlearn from, 4 to choose by and 8 to
# report.
TRAIN, DEV = 0.4, 0.2


def row_key(row: Mapping[str, Any]) -> str:
    """What identifies a row: its content without regard to case and white space.

    The same question read as a text and as a probe, or twice from one file, thus has one key.
    """
    text = json.dumps(row, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:16]


def assign_splits(keys: Iterable[tuple[tuple[str, ...], str]], seed: int) -> dict[str, Split]:
    """Key -> split, from all (path, key) pairs of a corpus.

    Each node is divided on its own, in the order of a seeded hash: exact shares even where a node has few rows, which
    drawing each row by itself would not give. A key met under two paths keeps the first.
    """
    first: dict[str, tuple[str, ...]] = {}
    for path, key in keys:
        first.setdefault(key, path)
    nodes: dict[tuple[str, ...], list[str]] = {}
    for key, path in first.items():
        nodes.setdefault(path, []).append(key)
    splits: dict[str, Split] = {}
    for members in nodes.values():
        members.sort(key=lambda key: hashlib.sha256(f"{seed}|{key}".encode()).digest())
        for rank, key in enumerate(members):
            splits[key] = _split_at((rank + 0.5) / len(members))
    return splits


def _split_at(share: float) -> Split:
    if share < TRAIN:
        return "train"
    return "dev" if share < TRAIN + DEV else "test"
