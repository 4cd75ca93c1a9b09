"""The activation store, written window by window; a window is finished when its manifest line is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numcodecs import BitRound
from zarr.codecs import BloscCodec

from pipeline.activations.location import is_url, open_group
from pipeline.activations.plan import Window, choose_chunk_rows, split_windows
from pipeline.activations.store import BITS, ROW_ARRAYS, SCHEMA, TOKEN_ARRAYS, add_moments, checksum
from pipeline.core.errors import PipelineError

# Shuffled bytes of bfloat16 compress only if a block holds a long run of exponent bytes; the default block does not.
ZSTD = BloscCodec(typesize=2, cname="zstd", clevel=1, shuffle="shuffle", blocksize=1 << 20)


SHARD_CHUNKS = 16


def create_store(
    path: Path | str,
    n_rows: int,
    d_model: int,
    *,
    dtype: str,
    window_rows: int,
    chunk_mib: int,
    compression: str,
    attributes: Mapping[str, Any],
) -> None:
    """Make the empty arrays of a store of ``n_rows`` rows, or leave those of an earlier, killed call in place.

    At a URL, chunks are grouped in shards of 16, as object stores want few large objects.
    """
    bits = np.dtype(BITS[dtype])
    chunk_rows = choose_chunk_rows(bits.itemsize * d_model, chunk_mib, window_rows)
    n_windows = len(split_windows(n_rows, window_rows))
    sizes = {"dtype": dtype, "window_rows": window_rows, "chunk_rows": chunk_rows}
    group = open_group(path, "a", {**attributes, **sizes})
    codecs = [ZSTD] if compression == "zstd" else None
    shards = (min(SHARD_CHUNKS * chunk_rows, window_rows), d_model) if is_url(path) else None
    _create(group, "activations", (n_rows, d_model), (chunk_rows, d_model), bits, codecs, shards)
    for name in TOKEN_ARRAYS:
        _create(group, name, (n_rows,), (window_rows,), np.int32)
    _create(group, "norm", (n_rows,), (window_rows,), np.float32)
    for name in ("window_mean", "window_m2"):
        _create(group, name, (n_windows, d_model), (1, d_model), np.float64)
    columns = 1 + len(ROW_ARRAYS) + window_rows // chunk_rows
    _create(group, "manifest", (n_windows, columns), (1, columns), np.uint64)


def _create(
    group: zarr.Group,
    name: str,
    shape: tuple,
    chunks: tuple,
    dtype: Any,
    codecs: list | None = None,
    shards: tuple | None = None,
) -> None:
    """An array without compression unless asked for; zarr must not compare each chunk with the fill value."""
    if name not in group:
        group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            shards=shards,
            dtype=dtype,
            fill_value=0,
            compressors=codecs,
            config={"write_empty_chunks": True},
        )


class WindowWriter:
    """Writes the windows of one store, in any order, from any process; windows never share a chunk."""

    def __init__(self, path: Path | str, mantissa_bits: int | None = None) -> None:
        self._group = open_group(path, "r+")
        # Not stored with an array: without it zarr compares every chunk with the fill value and skips zeros.
        keep = {"write_empty_chunks": True}
        names = ("activations", *ROW_ARRAYS, "window_mean", "window_m2", "manifest")
        self._arrays = {name: self._group[name].with_config(keep) for name in names}
        self._bitround = None if mantissa_bits is None else BitRound(keepbits=mantissa_bits)
        self.path = str(path)
        self.dtype: str = self._group.attrs["dtype"]
        self._chunk_rows: int = self._group.attrs["chunk_rows"]

    def finished(self) -> np.ndarray:
        """Which windows are complete, bool [windows]."""
        return self._arrays["manifest"][:, 0] > 0

    def write(self, window: Window, acts_nd: torch.Tensor, tokens: Mapping[str, np.ndarray]) -> None:
        """Write a window: its chunks, its statistics, and last its line in the manifest.

        ``acts_nd`` has the store's dtype and is already in the order on disk, as is ``tokens``.
        """
        if self._bitround is not None:
            acts_nd = _round(acts_nd, self._bitround)
        statistics = WindowStatistics.of(acts_nd)
        if not np.isfinite(statistics.m2_d).all():
            raise PipelineError(f"window {window.number} {_not_finite(acts_nd)}")
        bits_nd = _bits(acts_nd)
        chunks = [bits_nd[start : start + self._chunk_rows] for start in range(0, window.n_rows, self._chunk_rows)]
        rows = {**tokens, "norm": statistics.norm_n}
        array = self._arrays["activations"]
        unit = (array.shards or array.chunks)[0]
        for start in range(0, window.n_rows, unit):  # zarr copies unless it gets one whole chunk
            part_nd = bits_nd[start : start + unit]
            array[window.first_row + start : window.first_row + start + len(part_nd)] = part_nd
        for name in ROW_ARRAYS:
            self._arrays[name][window.rows] = rows[name]
        self._arrays["window_mean"][window.number] = statistics.mean_d
        self._arrays["window_m2"][window.number] = statistics.m2_d
        sums = [checksum(rows[name]) for name in ROW_ARRAYS] + [checksum(chunk) for chunk in chunks]
        line = np.zeros(self._arrays["manifest"].shape[1], np.uint64)
        line[: 1 + len(sums)] = [window.n_rows, *sums]
        self._arrays["manifest"][window.number] = line

    def finish(self, windows: list[Window]) -> None:
        """Merge the statistics of all windows, in order, and declare the store complete."""
        mean_d, m2_d = merge_statistics(
            [window.n_rows for window in windows], self._arrays["window_mean"][:], self._arrays["window_m2"][:]
        )
        n_rows = sum(window.n_rows for window in windows)
        norm = sum(float(self._arrays["norm"][window.rows].sum(dtype=np.float64)) for window in windows)
        for name, values_d in (("mean", mean_d), ("variance", m2_d / n_rows)):
            _create(self._group, name, mean_d.shape, mean_d.shape, np.float64)
            self._group[name][:] = values_d
        self._group.attrs.update({"mean_norm": norm / n_rows, "schema": SCHEMA})


class WindowStatistics:
    """Mean, sum of squared deviations, and row norms of a window, accumulated in float64."""

    def __init__(self, mean_d: np.ndarray, m2_d: np.ndarray, norm_n: np.ndarray) -> None:
        self.mean_d, self.m2_d, self.norm_n = mean_d, m2_d, norm_n

    @classmethod
    def of(cls, acts_nd: torch.Tensor) -> "WindowStatistics":
        """Blocks of 128 rows stay in the processor's cache."""
        n_rows, d_model = acts_nd.shape
        sum_d, square_d, square_n = np.zeros(d_model), np.zeros(d_model), np.zeros(n_rows)
        for start in range(0, n_rows, 128):
            block_nd = acts_nd[start : start + 128].float().numpy()
            add_moments(block_nd, sum_d, square_d, square_n[start : start + 128])
        m2_d = np.maximum(square_d - sum_d**2 / n_rows, 0)
        return cls(sum_d / n_rows, m2_d, np.sqrt(square_n).astype(np.float32))


def _not_finite(acts_nd: torch.Tensor) -> str:
    """Why rows of a store's dtype are no finite numbers: float16 alone ends where models still go."""
    if acts_nd.isnan().any():
        return (
            "has activations that are no numbers (NaN): the model computes them so; look at its weights, or give "
            "`language_model.dtype` float32"
        )
    if acts_nd.dtype == torch.float16:
        return "has activations beyond float16; set `activations.dtype` to bfloat16"
    return "has infinite activations: the model computes them so; look at its weights"


def merge_statistics(counts: list[int], mean_wd: np.ndarray, m2_wd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squared deviations over all windows.

    ``m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)`` (Chan, Golub and LeVeque, 1979).
    """
    count, mean_d, m2_d = 0, np.zeros(mean_wd.shape[1]), np.zeros(mean_wd.shape[1])
    for more, other_mean_d, other_m2_d in zip(counts, mean_wd, m2_wd, strict=True):
        delta_d = other_mean_d - mean_d
        m2_d = m2_d + other_m2_d + delta_d**2 * (count * more / (count + more))
        mean_d = mean_d + delta_d * (more / (count + more))
        count += more
    return mean_d, m2_d


def _round(acts_nd: torch.Tensor, bitround: BitRound) -> torch.Tensor:
    """Keep fewer mantissa bits, so that zstd finds zeros; float32 between, as BitRound knows no bfloat16."""
    rounded = bitround.encode(acts_nd.float().numpy())
    return torch.from_numpy(np.asarray(rounded).view(np.float32).reshape(acts_nd.shape)).to(acts_nd.dtype)


def _bits(acts_nd: torch.Tensor) -> np.ndarray:
    if acts_nd.dtype == torch.bfloat16:
        return acts_nd.view(torch.int16).numpy().view(np.uint16)
    return acts_nd.numpy()
