"""data/README.md is the specification: its tables must say what the stores hold, array by array."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from pipeline.activations.plan import split_windows
from pipeline.activations.store import ROW_ARRAYS, TOKEN_ARRAYS
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.codes.store import SparseCodes
from pipeline.codes.writer import CodesWriter

PAGE = (Path(__file__).parents[2] / "data/README.md").read_text(encoding="utf-8")
N, D, S, WINDOW = 150, 6, 9, 64


def table(section: str) -> dict[str, dict[str, str]]:
    """The rows of a section's table by array name."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {line[0].strip("`"): dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


@pytest.fixture
def activations(tmp_path) -> zarr.Group:
    options = {"dtype": "bfloat16", "window_rows": WINDOW, "chunk_mib": 1, "compression": "none", "attributes": {}}
    create_store(tmp_path / "a.zarr", N, D, **options)
    writer = WindowWriter(tmp_path / "a.zarr")
    for window in split_windows(N, WINDOW):
        tokens = {name: np.zeros(window.n_rows, np.int32) for name in TOKEN_ARRAYS}
        writer.write(window, torch.ones(window.n_rows, D, dtype=torch.bfloat16), tokens)
    writer.finish(split_windows(N, WINDOW))
    return zarr.open_group(tmp_path / "a.zarr", mode="r")


@pytest.fixture
def features(tmp_path) -> zarr.Group:
    tokens = [np.zeros(N, np.int32)] * 4
    codes = SparseCodes(np.arange(N + 1), np.zeros(N, np.uint16), np.ones(N, np.float32), *tokens, S)
    with CodesWriter(tmp_path / "f.zarr", N, S, {}) as writer:
        writer.append(codes)
    return zarr.open_group(tmp_path / "f.zarr", mode="r")


@pytest.mark.parametrize("section", ["activations.zarr", "features.zarr"])
def test_every_array_is_as_the_page_says(section, request):
    group = request.getfixturevalue(section.removesuffix(".zarr"))
    rows = table(section)
    assert set(rows) == set(dict(group.arrays()))
    chunk_rows = group.attrs.get("chunk_rows", 0)
    sizes = {"n": N, "d": D, "s": S, "w": 3, "nnz": N, "chunk_rows": chunk_rows, "window_rows": WINDOW}
    sizes |= {
        "n + 1": N + 1,
        "s + 1": S + 1,
        "6 + chunks per window": 1 + len(ROW_ARRAYS) + WINDOW // (chunk_rows or 1),
    }
    sizes["all"] = sizes["6 + chunks per window"]
    for name, array in group.arrays():
        row = rows[name]
        assert array.shape == tuple(sizes[axis] for axis in row["axes"].split(", ")), name
        assert str(array.dtype) in re.split(", | or ", row["dtype"]), name
        chunks = (int(size) if size.isdigit() else sizes[size] for size in row["chunks"].split(", "))
        assert array.chunks == tuple(chunks), name


def test_the_page_names_the_schema_and_the_attributes_of_the_stores(activations, features):
    for section, group in (("activations.zarr", activations), ("features.zarr", features)):
        text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
        assert f"`schema` {group.attrs['schema']}" in text
        assert all(f"`{name}`" in text for name in group.attrs)


def test_bfloat16_is_read_with_plain_zarr_as_the_page_says(activations):
    assert torch.from_numpy(activations["activations"][:]).view(torch.bfloat16).eq(1).all()
