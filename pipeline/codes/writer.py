"""The sparse codes store, written: rows are appended in text order, then the same codes are sorted by latent.

Memory is bounded by one block of rows and by ``SORT_ENTRIES`` entries of the sort, whatever the size of the store.
"""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from pipeline.codes.store import SCHEMA, TOKEN_ARRAYS, SparseCodes

ROW_CHUNK = 1 << 18  # entries of one chunk of the arrays by token: 1 MiB of float32
LATENT_CHUNK = 1 << 16  # of the arrays by latent: one latent's tokens are few, reading them should read little else
SORT_ENTRIES = 1 << 24  # sorted at once: 256 MiB
_ENTRY = np.dtype([("latent", np.uint32), ("row", np.int64), ("value", np.float32)])


class CodesWriter:
    """Writes a store of ``n_tokens`` rows under ``path``, where none may be; ends with the arrays by latent."""

    def __init__(self, path: Path, n_tokens: int, n_latents: int, attributes: Mapping[str, Any]) -> None:
        self.n_tokens, self.n_latents, self._written = n_tokens, n_latents, 0
        self._path = path
        self._counts_s = np.zeros(n_latents, np.int64)
        self._group = zarr.open_group(str(path), mode="a", attributes={**attributes, "d_sae": n_latents})
        index_dtype = np.uint16 if n_latents <= 1 << 16 else np.uint32
        kinds = {"indptr": np.int64, "index": index_dtype, "value": np.float32}
        kinds |= dict.fromkeys(TOKEN_ARRAYS, np.int32)
        self._arrays = {name: _Growing(self._group, name, kind, ROW_CHUNK) for name, kind in kinds.items()}
        self._arrays["indptr"].append(np.zeros(1, np.int64))

    def append(self, codes: SparseCodes) -> None:
        """Add the next rows."""
        first = int(self._counts_s.sum())
        self._arrays["indptr"].append(codes.indptr[1:] + first)
        for name in ("index", "value", *TOKEN_ARRAYS):
            self._arrays[name].append(getattr(codes, name))
        self._counts_s += np.bincount(codes.index, minlength=self.n_latents)
        self._written += len(codes.token_id)

    def __enter__(self) -> "CodesWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            return
        assert self._written == self.n_tokens, f"{self._written} rows were appended, {self.n_tokens} announced"
        for array in self._arrays.values():
            array.close()
        self._sort_by_latent()
        self._group.attrs["schema"] = SCHEMA  # last: a store without it is not complete

    def _sort_by_latent(self) -> None:
        """External distribution sort: entries go to one scratch file per range of latents, each is sorted alone."""
        row_dtype = np.uint32 if self.n_tokens <= 1 << 32 else np.int64
        latent_indptr = np.concatenate([[0], np.cumsum(self._counts_s)])
        indptr = _Growing(self._group, "latent_indptr", np.int64, LATENT_CHUNK)
        row = _Growing(self._group, "latent_row", row_dtype, LATENT_CHUNK)
        value = _Growing(self._group, "latent_value", np.float32, LATENT_CHUNK)
        indptr.append(latent_indptr)
        with ExitStack() as files:
            starts = _range_starts(latent_indptr, SORT_ENTRIES)
            scratch = [files.enter_context(tempfile.TemporaryFile(dir=self._path.parent)) for _ in starts]
            self._distribute(starts, scratch)
            for file in scratch:
                file.seek(0)
                entries = np.fromfile(file, _ENTRY)
                entries = entries[np.argsort(entries["latent"], kind="stable")]  # rows stay ascending
                row.append(entries["row"].astype(row_dtype))
                value.append(entries["value"])
        for array in (indptr, row, value):
            array.close()

    def _distribute(self, starts: np.ndarray, scratch: list[IO[bytes]]) -> None:
        indptr = self._group["indptr"]
        for block in range(0, self.n_tokens, 1 << 16):
            bounds = indptr[block : block + (1 << 16) + 1]
            first, last = int(bounds[0]), int(bounds[-1])
            entries = np.empty(last - first, _ENTRY)
            entries["latent"] = self._group["index"][first:last]
            entries["value"] = self._group["value"][first:last]
            entries["row"] = np.repeat(np.arange(block, block + len(bounds) - 1), np.diff(bounds))
            home = np.searchsorted(starts, entries["latent"], side="right") - 1
            for number, file in enumerate(scratch):
                entries[home == number].tofile(file)


def _range_starts(latent_indptr: np.ndarray, limit: int) -> np.ndarray:
    """First latents of consecutive ranges with at most ``limit`` entries each (a latent that has more is alone).

    >>> _range_starts(np.array([0, 3, 4, 9, 10]), 4)
    array([0, 2, 3])
    """
    starts = [0]
    for latent in range(1, len(latent_indptr) - 1):
        if latent_indptr[latent + 1] - latent_indptr[starts[-1]] > limit:
            starts.append(latent)
    return np.array(starts)


class _Growing:
    """A one-dimensional zarr array that is appended to in whole chunks, each with its crc32c."""

    def __init__(self, group: zarr.Group, name: str, dtype: type, chunk: int) -> None:
        self._array = group.create_array(
            name,
            shape=(0,),
            chunks=(chunk,),
            dtype=dtype,
            fill_value=0,
            compressors=[Crc32cCodec()],
            config={"write_empty_chunks": True},
        )
        self._chunk, self._pending, self._n_pending = chunk, [], 0

    def append(self, values: np.ndarray) -> None:
        self._pending.append(values)
        self._n_pending += len(values)
        if self._n_pending >= self._chunk:
            self._write(self._n_pending // self._chunk * self._chunk)

    def close(self) -> None:
        self._write(self._n_pending)

    def _write(self, count: int) -> None:
        if count == 0:
            return
        values = np.concatenate(self._pending)
        start = self._array.shape[0]
        self._array.resize((start + count,))
        self._array[start : start + count] = values[:count]
        self._pending, self._n_pending = [values[count:]], len(values) - count
