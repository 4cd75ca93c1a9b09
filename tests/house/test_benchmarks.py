"""The store's benchmarks run, at sizes that say nothing about speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def measured(root: Path, name: str, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "JAXTYPING_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_store_against_its_peer(root: Path) -> None:
    found = measured(root, "store_speed", "--tokens", "8192", "--d_model", "256", "--repeats", "1")
    ratios = [
        value for part in found.values() if isinstance(part, dict) for name, value in part.items() if "ratio" in name
    ]
    assert len(ratios) == 5 and min(ratios) > 0
    assert found["writing"]["ours_bytes_per_token"] == pytest.approx(2 * 256 + 20, rel=0.2)


def test_caching_on_a_device(root: Path) -> None:
    sizes = ["--width", "64", "--layers", "0", "1", "--tokens", "2048", "--context", "64", "--batch_tokens", "512"]
    rows = measured(root, "store_gpu", "--device", "cpu", *sizes)["layers"]
    assert [row["layer"] for row in rows] == [0, 1]
    assert rows[0]["terabytes_of_500M_tokens"] == pytest.approx(500e6 * (2 * 64 + 20) / 1e12)
    assert all(row["ratio_whole_to_bare"] > 0 and row["hours_of_500M_tokens"] > 0 for row in rows)
