"""Malformed corpora and mutated folders: each is read as it was meant, or refused in one sentence, within seconds.

    uv run python -m benchmarks.fuzz --each 50

``--each`` files of each of four formats, and as many mutations of six folders: a dictionary, an edit and a model, as a
run wrote them (with sums: any change of meaning is a fault) and as they come from elsewhere (without: what is read must
be what the format's own library reads). Writes benchmarks/fuzz.json.
"""

import argparse
import contextlib
import csv
import io
import json
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sae_lens import SAE
from transformers import AutoModelForCausalLM

from pipeline.core.errors import PipelineError
from pipeline.core.files import SUMS, write_json, write_sums
from pipeline.corpus.cells import visible
from pipeline.corpus.documents import documents
from pipeline.corpus.rows import read_file
from pipeline.corpus.settings import TextSource
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary, save_dictionary
from pipeline.unlearning.edit import Guard, clamped, load_edit, save_edit
from tests.support.damage import SOUND, Mutation, damaged, mutations
from tests.support.tiny_lm import WORDS, save_model

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 20  # seconds, beyond which a reader hangs
ACTS_ND = torch.randn(20, 16, generator=torch.Generator().manual_seed(1)) * 3


class Tally:
    """How every input ended, and those that ended wrong."""

    def __init__(self) -> None:
        self.ends: dict[str, Counter] = {}
        self.faults: list[dict[str, str]] = []

    def judge(self, kind: str, what: str, read: Callable[[], Any], is_meant: Callable[[Any], bool]) -> None:
        """Read under a time limit; a refusal is one line, and what is read must be what was meant."""
        end, fault = "read", ""
        try:
            with _patience():
                fault = "" if is_meant(read()) else "another meaning"
        except PipelineError as error:
            end, fault = "refused", "" if str(error).isprintable() else f"not one line: {error!r}"
        except Exception as error:  # whatever is no refusal is what is looked for
            fault = f"{type(error).__name__}: {error}"
        self.ends.setdefault(kind, Counter())[end] += 1
        if fault:
            self.faults.append({"kind": kind, "input": what, "fault": fault[:300]})


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done in {PATIENCE} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=50)
    each = parser.parse_args().each
    torch.set_num_threads(1)
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        for name, whole in SOUND.items():
            try_corpora(Path(scratch), name, whole(), each, tally)
        for kind, make, read in (("dictionary", make_sae, read_sae), ("edit", make_edit, read_edit)):
            try_folders(Path(scratch), kind, make, read, each, tally)
        try_folders(Path(scratch), "model", make_model, read_model, each, tally)
    found = {"tried": {kind: dict(ends) for kind, ends in tally.ends.items()}, "faults": tally.faults}
    write_json(ROOT / "benchmarks/fuzz.json", {"each": each, **found})
    print(json.dumps(found, indent=1))
    if tally.faults:
        sys.exit(1)


def draw(each: int, inputs: st.SearchStrategy, use: Callable[[Any], None]) -> None:
    """The same inputs in every call."""

    @settings(
        max_examples=each, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(inputs)
    def run(one: Any) -> None:
        use(one)

    run()


def try_corpora(scratch: Path, name: str, whole: bytes, each: int, tally: Tally) -> None:
    path = scratch / name

    def use(content: bytes) -> None:
        path.write_bytes(content)
        read = lambda: [row.text for row in documents(read_file(path), TextSource(file=name))]  # noqa: E731
        tally.judge(Path(name).suffix, repr(content)[:200], read, lambda texts: texts == plainly(path))

    draw(each, damaged(whole), use)


def plainly(path: Path) -> list[str]:
    """The texts of a file, as the standard library and pyarrow read it."""
    if path.suffix == ".parquet":
        cells = pq.read_table(path)["text"].to_pylist()
        return [text for cell in cells if cell is not None and (text := visible(_decoded(cell)))]
    text = io.TextIOWrapper(
        io.BytesIO(path.read_bytes()), encoding="utf-8-sig", newline="" if path.suffix == ".csv" else None
    )
    if path.suffix == ".csv":
        cells = [row["text"] for row in csv.DictReader(text)]
    elif path.suffix == ".jsonl":
        rows = [json.loads(line.lstrip("\ufeff"), parse_float=str) for line in text if visible(line)]
        cells = [json.dumps(row["text"]) if isinstance(row["text"], bool) else row["text"] for row in rows]
    else:
        cells = "".join(line if visible(line) else "\0" for line in text).split("\0")
    return [shown for cell in cells if cell is not None and cell == cell and (shown := visible(str(cell)))]


def _decoded(cell: str | bytes) -> str:
    return cell.decode() if isinstance(cell, bytes) else cell


def try_folders(
    scratch: Path, kind: str, make: Callable[[Path], Any], read: Callable[[Path], Any], each: int, tally: Tally
) -> None:
    whole = scratch / kind
    make(whole)
    library = {"dictionary": by_sae_lens, "edit": read_edit, "model": by_transformers}[kind]
    for origin in ("of a run", "from elsewhere"):
        if origin == "of a run":
            write_sums(whole)
        else:
            (whole / SUMS).unlink()
        meant = read(whole)

        def use(mutation: Mutation, origin: str = origin, meant: Any = meant) -> None:
            copy = shutil.copytree(whole, scratch / "copy", dirs_exist_ok=False)
            mutation.apply(copy)
            own = lambda found: same(found, meant) or (origin != "of a run" and same(found, library(copy)))  # noqa: E731
            tally.judge(f"{kind} {origin}", f"{mutation.file} {mutation.what}", lambda: read(copy), own)
            shutil.rmtree(copy)

        draw(each, mutations(whole), use)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and torch.allclose(one, other, atol=1e-4, rtol=1e-4)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def make_sae(folder: Path) -> None:
    torch.manual_seed(0)
    shapes = (16, 48), (48,), (48, 16), (16,), (48,)
    dictionary = Dictionary(*(torch.randn(shape) for shape in shapes[:4]), torch.zeros(48), k=5)
    about = {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "hook_layer": 1}
    save_dictionary(folder, dictionary, about)


def read_sae(folder: Path) -> torch.Tensor:
    return load_dictionary(folder)(ACTS_ND)


def by_sae_lens(folder: Path) -> torch.Tensor:
    return SAE.load_from_disk(folder)(ACTS_ND).detach()


def make_edit(folder: Path) -> None:
    scale_s = torch.arange(48.0) + 1
    edit = clamped("guard_flat", "topic", ("d", "t"), 1, [[1, 2], [7]], scale_s, 2.0, {"n": 2})
    save_edit(folder, edit._replace(guard=Guard(scale_s, -3.0), weights={"model.norm.weight": torch.ones(16)}))


def read_edit(folder: Path) -> tuple:
    edit = load_edit(folder)
    tensors = (edit.latents, edit.values, edit.factors, edit.guard.weight_s, *edit.weights.values())
    words = (edit.method, edit.level, edit.target, edit.layer, edit.groups, edit.guard.bias, *edit.weights)
    return (*tensors, *words)


def make_model(folder: Path) -> None:
    save_model(folder)


def read_model(folder: Path) -> torch.Tensor:
    ids = load_tokenizer(folder)(" ".join(WORDS[:9]))["input_ids"]
    return load_model(folder)(torch.tensor([ids])).logits


def by_transformers(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False).eval()
    return model(torch.tensor([load_tokenizer(folder)(" ".join(WORDS[:9]))["input_ids"]])).logits.detach()


if __name__ == "__main__":
    main()
