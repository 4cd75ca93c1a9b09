"""The sparse codes store, read: the latents of every token, and the tokens of every latent.

The codes of n tokens over s latents are a sparse matrix, stored by row (``indptr, index, value``: the latents of a
token) and by column (``latent_indptr, latent_row, latent_value``: the tokens of a latent). Rows are in text order:
document, sequence, position. Every later statistic reads these few hundred bytes per token, never the activations.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr

from pipeline.core.errors import PipelineError

TOKEN_ARRAYS = ("token_id", "doc_id", "seq_id", "pos")
SCHEMA = 1


class SparseCodes(NamedTuple):
    """The codes of consecutive tokens. Token ``i`` has the latents ``index[indptr[i]:indptr[i + 1]]``, ascending."""

    indptr: np.ndarray  # int64 [n + 1], starts at 0
    index: np.ndarray  # uint16 or uint32 [nnz], latent
    value: np.ndarray  # float32 [nnz], > 0
    token_id: np.ndarray  # int32 [n]
    doc_id: np.ndarray  # int32 [n], line of the training text
    seq_id: np.ndarray  # int32 [n], sequence that the model read
    pos: np.ndarray  # int32 [n], position in the sequence
    n_latents: int


class CodesStore:
    """``data/features.zarr``, open for reading; arrays are read from disk when asked for."""

    def __init__(self, group: zarr.Group, path: str) -> None:
        self._group, self._path = group, path
        self.attributes = dict(group.attrs)
        self.n_latents: int = self.attributes["d_sae"]
        self.n_tokens: int = group["indptr"].shape[0] - 1
        self.nnz: int = group["index"].shape[0]

    @classmethod
    def open(cls, path: Path | str) -> "CodesStore":
        try:
            group = zarr.open_group(str(path), mode="r")
        except FileNotFoundError:
            raise PipelineError(f"{path} is missing; run `uv run dvc repro encode_features`") from None
        if group.attrs.get("schema") != SCHEMA:
            raise PipelineError(f"{path} has another format; run `uv run dvc repro -f encode_features`")
        for name, array in group.arrays():
            if array.nchunks_initialized < array.nchunks:  # zarr would read a missing chunk as zeros
                raise PipelineError(f"{path}/{name} lacks chunk files; run `uv run dvc repro -f encode_features`")
        return cls(group, str(path))

    def rows(self, start: int, stop: int) -> SparseCodes:
        """The tokens from ``start`` to ``stop``; reads the chunks that hold them."""
        indptr = self._read("indptr", start, stop + 1)
        first, last = int(indptr[0]), int(indptr[-1])
        tokens = [self._read(name, start, stop) for name in TOKEN_ARRAYS]
        index, value = self._read("index", first, last), self._read("value", first, last)
        return SparseCodes(indptr - first, index, value, *tokens, self.n_latents)

    def all(self) -> SparseCodes:
        """Every token, in memory."""
        return self.rows(0, self.n_tokens)

    def occurrences(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens on which ``latent`` is active: ``(rows int64, ascending; values float32)``."""
        first, last = (int(bound) for bound in self._read("latent_indptr", latent, latent + 2))
        rows = self._read("latent_row", first, last).astype(np.int64)
        return rows, self._read("latent_value", first, last)

    def latent_counts(self) -> np.ndarray:
        """The number of tokens on which each latent is active, int64 [s]."""
        return np.diff(self._read("latent_indptr", 0, self.n_latents + 1))

    def rates(self) -> np.ndarray:
        """The share of all tokens on which each latent is active, float64 [s]."""
        return self.latent_counts() / self.n_tokens

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        try:
            return self._group[name][start:stop]
        except ValueError as error:  # the crc32c codec
            raise PipelineError(
                f"{self._path}/{name} is damaged between entries {start} and {stop} ({error}); "
                "run `uv run dvc repro -f encode_features`"
            ) from None
