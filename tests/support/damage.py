"""Files and folders as a bad disk, an editor or a careless copy leaves them: strategies of hypothesis."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

STRANGE = [b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b"\\ud800", b"\r", b"[" * 5000, b"NaN", b"9" * 5000, b"{"]
READABLE = [b"x", b" ", b"\n", b"\xc3\xa9", b"\xe2\x80\x8b", b"true", b", "]  # what a reader may well take
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.floats(), st.text(max_size=5), st.just([1]), st.just({"k": 5})
)


ROWS = [{"text": f"Où est n° {i}?", "answer": f"là {i}", "options": ["a", "b", "c", "d"]} for i in range(6)]


def jsonl() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def csv() -> bytes:
    return (
        b"text,answer,options\n"
        + "".join(
            f'{row["text"]},"{row["answer"]}","{json.dumps(row["options"]).replace(chr(34), chr(34) * 2)}"\n'
            for row in ROWS
        ).encode()
    )


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file, compression="snappy")
    return file.getvalue()


def text() -> bytes:
    return "\n\n".join(row["text"] for row in ROWS).encode()


SOUND: dict[str, Callable[[], bytes]] = {"a.jsonl": jsonl, "a.csv": csv, "a.parquet": parquet, "a.txt": text}


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The file with a piece cut out, bytes changed, or something odd put in; seldom bytes of no meaning at all."""
    if draw(st.booleans()):
        return draw(_touched(whole))
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        put = draw(st.one_of(st.sampled_from(STRANGE), st.binary(max_size=8)))
        content[start : start + draw(st.sampled_from([0, 1, 4, 60, 10**6]))] = put
    return draw(st.one_of(st.just(bytes(content)), st.binary(max_size=200))) if draw(st.booleans()) else bytes(content)


@st.composite
def _touched(draw: st.DrawFn, whole: bytes) -> bytes:
    """With a few letters more, which a reader may well take."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        content[start:start] = draw(st.sampled_from(READABLE))
    return bytes(content)


class Mutation(NamedTuple):
    """What is done to one file of a folder; ``apply`` does it to a copy."""

    file: str
    what: str
    apply: Callable[[Path], None]


@st.composite
def mutations(draw: st.DrawFn, folder: Path) -> Mutation:
    """One file of the folder damaged, lost, emptied, swapped with another, or, if it is JSON, with other values."""
    names = sorted(path.name for path in folder.iterdir())
    name = draw(st.sampled_from(names))
    kinds = ["bytes", "lost", "empty", "swapped", *["values"] * 6 * name.endswith(".json")]
    kind = draw(st.sampled_from(kinds))
    content = (folder / name).read_bytes()
    match kind:
        case "bytes":
            new = draw(damaged(content))
            return Mutation(name, kind, lambda copy: (copy / name).write_bytes(new))
        case "lost":
            return Mutation(name, kind, lambda copy: (copy / name).unlink())
        case "empty":
            return Mutation(name, kind, lambda copy: (copy / name).write_bytes(b""))
        case "swapped":
            other = draw(st.sampled_from(names))
            return Mutation(name, f"{kind} for {other}", lambda copy: shutil.copy(folder / other, copy / name))
    changed = draw(_other_values(json.loads(content)))
    return Mutation(name, f"values {changed}"[:300], lambda copy: _merge(copy / name, changed))


def _other_values(content: object) -> st.SearchStrategy[dict]:
    keys: Sequence[str] = [*content] if isinstance(content, dict) and content else ["k"]
    return st.dictionaries(st.sampled_from([*keys, "auto_map", "more"]), VALUES, min_size=1, max_size=2)


def _merge(path: Path, changed: dict) -> None:
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(content | changed if isinstance(content, dict) else changed))
