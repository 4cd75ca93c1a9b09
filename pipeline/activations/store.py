"""The activation store, read, and the kernels that move its rows. data/README.md specifies its arrays and attributes.

A store is a Zarr v3 group. Its array ``manifest`` has one line per window: the number of rows (0: the window was never
finished) and a checksum (xxh3) of every chunk. Rows are checked against it whenever they are read here.

The kernels (numba) move and sum rows in one pass over memory, which is what a store's speed is made of: torch needs
two passes to pick rows and widen them, and five for exact moments.
"""

from pathlib import Path

import numba
import numpy as np
import torch
import xxhash
import zarr
from zarr.core.buffer.cpu import buffer_prototype
from zarr.storage import LocalStore

from pipeline.activations.location import open_group, resolve
from pipeline.activations.plan import Window, split_windows
from pipeline.core.errors import PipelineError

TILE = 256  # columns whose float64 sums stay in the innermost cache


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def add_moments(rows_nd, sum_d, square_d, square_n):
    """Add float32 rows [n, d] to the float64 sums and sums of squares of each column [d] and of each row [n].

    Squares of bfloat16 and float16 are exact in float64. The order of addition is fixed by the code, not by threads.
    """
    n_rows, width = rows_nd.shape
    sums, squares = np.empty(TILE), np.empty(TILE)
    for start in range(0, width, TILE):
        size = min(TILE, width - start)
        sums[:] = 0.0
        squares[:] = 0.0
        for n in range(n_rows):
            row = rows_nd[n, start : start + size]
            total = 0.0
            for d in range(size):
                x = np.float64(row[d])
                sums[d] += x
                squares[d] += x * x
                total += x * x
            square_n[n] += total
        sum_d[start : start + size] += sums[:size]
        square_d[start : start + size] += squares[:size]


@numba.njit(cache=True, nogil=True)
def gather_widened(bits_nd, taken, out_nd):
    """``out[i] = bits[taken[i]]``, bfloat16 bits (uint16) becoming those of float32 (uint32)."""
    for i in range(len(taken)):
        source, target = bits_nd[taken[i]], out_nd[i]
        for d in range(len(target)):
            target[d] = np.uint32(source[d]) << np.uint32(16)


SCHEMA = 2  # 1 had crc32c in its manifest
TOKEN_ARRAYS = ("token_id", "doc_id", "seq_id", "pos")
ROW_ARRAYS = (*TOKEN_ARRAYS, "norm")
BITS = {"bfloat16": np.uint16, "float16": np.float16, "float32": np.float32}  # zarr has no bfloat16


class ActivationStore:
    """``data/activations.zarr`` or a store at a URL, open for reading. n rows, d wide; rows permuted in windows."""

    def __init__(self, group: zarr.Group, path: str) -> None:
        self.path = path
        self.attributes = dict(group.attrs)
        self.array: zarr.Array = group["activations"]
        self.n_tokens, self.d_model = self.array.shape
        self.dtype: str = self.attributes["dtype"]
        self.chunk_rows: int = self.attributes["chunk_rows"]
        self.mean_d: np.ndarray = group["mean"][:]  # float64
        self.var_d: np.ndarray = group["variance"][:]  # float64, over all rows (divided by n)
        self.mean_norm: float = self.attributes["mean_norm"]
        self.windows = split_windows(self.n_tokens, self.attributes["window_rows"])
        self._group = group
        plain = isinstance(group.store, LocalStore) and not self.array.compressors and self.array.shards is None
        self._chunk_folder = Path(path) / "activations/c" if plain else None
        self._manifest = group["manifest"][:]

    @classmethod
    def open(cls, path: Path | str) -> "ActivationStore":
        try:
            group = open_group(path, "r")
        except FileNotFoundError:
            raise PipelineError(f"{path} is missing; run `uv run dvc repro cache_activations`") from None
        if group.attrs.get("schema") != SCHEMA:
            raise PipelineError(
                f"{path} is unfinished or of another format; run `uv run dvc repro -f cache_activations`"
            )
        return cls(group, resolve(path))

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """The rows in the order on disk, float32 [stop - start, d]."""
        return self.to_float(self.raw_rows(start, stop))

    def raw_rows(self, start: int, stop: int) -> torch.Tensor:
        """The rows in the order on disk, as stored (``raw_dtype``); whole chunks are read and checked."""
        first = start // self.chunk_rows * self.chunk_rows
        last = min(-(-stop // self.chunk_rows) * self.chunk_rows, self.n_tokens)
        raw_nd = torch.empty(last - first, self.d_model, dtype=self.raw_dtype)
        for chunk in range(first, last, self.chunk_rows):
            end = min(chunk + self.chunk_rows, last)
            self.read_chunk(chunk // self.chunk_rows, raw_nd[chunk - first : end - first])
        return raw_nd[start - first : stop - first]

    def tokens(self, window: Window) -> dict[str, np.ndarray]:
        """``token_id``, ``doc_id``, ``seq_id`` and ``pos`` (int32) and ``norm`` (float32) of a window's rows."""
        arrays = {}
        for number, name in enumerate(ROW_ARRAYS):
            try:
                arrays[name] = self._group[name][window.rows]
            except ValueError as error:  # a truncated file
                raise self._damaged(name, window.number, window.number, str(error)) from None
            self._check(arrays[name], window.number, 1 + number, name, window.number)
        return arrays

    @property
    def raw_dtype(self) -> torch.dtype:
        """The dtype of ``read_chunk``'s buffer: the bits of bfloat16 as int16, else the stored dtype."""
        return torch.int16 if self.dtype == "bfloat16" else getattr(torch, self.dtype)

    def read_chunk(self, chunk: int, out_nd: torch.Tensor) -> None:
        """Read the rows of one chunk into ``out_nd`` (``raw_dtype``) and check them against the manifest."""
        start = chunk * self.chunk_rows
        window, first = divmod(start, self.attributes["window_rows"])
        out = out_nd.numpy().view(self.array.dtype)
        try:
            if self._chunk_folder is not None:  # the file is the rows; zarr would copy them twice
                with (self._chunk_folder / f"{chunk}/0").open("rb") as file:
                    file.readinto(out)
            else:
                self.array.get_basic_selection(slice(start, start + len(out)), out=buffer_prototype.nd_buffer(out))
        except (ValueError, OSError, RuntimeError) as error:  # lost, truncated, or can't be decompressed
            raise self._damaged("activations", f"{chunk}/0", window, str(error)) from None
        column = 1 + len(ROW_ARRAYS) + first // self.chunk_rows
        self._check(out_nd.numpy(), window, column, "activations", f"{chunk}/0")

    def to_float(self, raw_nd: torch.Tensor) -> torch.Tensor:
        """Rows from ``read_chunk`` as float32; always a copy."""
        exact_nd = raw_nd.view(torch.bfloat16) if self.dtype == "bfloat16" else raw_nd
        return exact_nd.to(torch.float32, copy=True)

    def verify(self) -> None:
        """Read everything once; a damaged chunk raises a PipelineError that names it."""
        for window in self.windows:
            self.tokens(window)
            self.rows(window.rows.start, window.rows.stop)

    def _check(self, values: np.ndarray, window: int, column: int, array: str, chunk: int | str) -> None:
        if checksum(values) != self._manifest[window, column]:
            raise self._damaged(array, chunk, window, "its checksum is not the one in the manifest")

    def _damaged(self, array: str, chunk: int | str, window: int, reason: str) -> PipelineError:
        return PipelineError(
            f"{self.path}/{array}/c/{chunk} (window {window}) is damaged or lost: {reason}; "
            "run `uv run dvc repro -f cache_activations`"
        )


def checksum(values: np.ndarray) -> int:
    """xxh3 (64 bits) of an array's bytes; several times as fast as crc32c, which was a quarter of reading."""
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(values))
