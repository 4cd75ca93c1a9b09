"""The head of a GGUF file: what the model is, read in half a second, and a copy of the file without its vocabulary.

A GGUF file is "GGUF", its version, the numbers of tensors and of keys, the keys with their values, a table of
tensors, and the tensors from the next multiple of the alignment on
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

import mmap
import shutil
import struct
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_START = struct.Struct("<4sIQQ")  # magic, version, tensors, keys
# Value types of fixed size; 8 is a string, 9 an array.
_FIXED = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
# llama.cpp's numbers of the commoner mixtures of precisions (`general.file_type`).
_QUANTISATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip


class Header(NamedTuple):
    """The keys of a file: single values, the lengths of arrays, and which bytes hold each key with its value."""

    version: int
    n_tensors: int
    values: dict[str, Any]
    lengths: dict[str, int]
    spans: dict[str, tuple[int, int]]
    table: tuple[int, int]

    @property
    def layers(self) -> int:
        """The number of decoder layers."""
        return int(self.values[f"{self.values['general.architecture']}.block_count"])

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        return self.lengths["tokenizer.ggml.tokens"]

    @property
    def quantisation(self) -> str:
        """The name of the file's mixture of precisions."""
        number = self.values.get("general.file_type")
        return _QUANTISATIONS.get(number, f"file type {number}")


def read_header(path: Path) -> Header:
    """Read the head of a file, or of the first piece of one."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError):
        raise PipelineError(f"{path} is not a whole GGUF file of version 2 or 3; fetch it again") from None


def write_without(path: Path, keys: tuple[str, ...], copy: Path) -> None:
    """Copy a file without some keys: readers that walk a vocabulary of 262,144 entries slowly then have none."""
    header = read_header(path)
    align = int(header.values.get("general.alignment", 32))
    kept = [span for key, span in header.spans.items() if key not in keys]
    with path.open("rb") as file, copy.open("wb") as out:
        out.write(_START.pack(_MAGIC, header.version, header.n_tensors, len(kept)))
        for start, stop in (*kept, header.table):
            file.seek(start)
            out.write(file.read(stop - start))
        out.write(bytes(-out.tell() % align))
        file.seek(header.table[1] + -header.table[1] % align)
        shutil.copyfileobj(file, out, 1 << 24)


def _read(data: mmap.mmap) -> Header:
    magic, version, n_tensors, n_keys = _START.unpack_from(data, 0)
    if magic != _MAGIC or version not in _VERSIONS:
        raise ValueError(magic)
    values: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    spans = {}
    at = _START.size
    for _ in range(n_keys):
        start = at
        key, at = _string(data, at)
        (kind,) = struct.unpack_from("<I", data, at)
        if kind == _ARRAY:
            lengths[key], at = _pass_array(data, at + 4)
        else:
            values[key], at = _value(data, at + 4, kind)
        spans[key] = (start, at)
    header = Header(version, n_tensors, values, lengths, spans, (at, _pass_table(data, at, n_tensors)))
    assert header.layers and header.vocabulary
    return header


def _value(data: mmap.mmap, at: int, kind: int) -> tuple[Any, int]:
    if kind == _STRING:
        return _string(data, at)
    return struct.unpack_from(_FIXED[kind], data, at)[0], at + struct.calcsize(_FIXED[kind])


def _string(data: mmap.mmap, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    return data[at + 8 : at + 8 + length].decode("utf-8"), at + 8 + length


def _pass_array(data: mmap.mmap, at: int) -> tuple[int, int]:
    """The length of an array and the place behind it."""
    kind, length = struct.unpack_from("<IQ", data, at)
    at += 12
    if kind != _STRING:
        return length, at + length * struct.calcsize(_FIXED[kind])
    for _ in range(length):
        at += 8 + struct.unpack_from("<Q", data, at)[0]
    return length, at


def _pass_table(data: mmap.mmap, at: int, n_tensors: int) -> int:
    """The place behind the table of tensors: name, dimensions, type and offset of each."""
    for _ in range(n_tensors):
        at += 8 + struct.unpack_from("<Q", data, at)[0]
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 12
    return at
