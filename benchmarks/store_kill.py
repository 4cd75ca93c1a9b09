"""Kill (SIGKILL) the caching of a store at random moments; the resumed store must equal an uninterrupted one.

    uv run python -m benchmarks.store_kill --kills 20

Each child is killed up to 10 ms after a random number of files has appeared in the partial folder: in the middle of a
window, of a chunk, of the closing statistics. Prints one JSON object.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.store_inputs import make_model, make_text
from pipeline.activations.build import build_store
from pipeline.activations.store import ActivationStore
from studies.recommended import recommended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = kill_and_resume(Path(folder), arguments.kills, arguments.tokens, random.Random(arguments.seed))
    print(json.dumps(result))
    if not result["identical"]:
        raise SystemExit(1)


def kill_and_resume(folder: Path, kills: int, n_tokens: int, rng: random.Random) -> dict:
    """Interrupt ``kills`` builds of one store, let the last one end, and compare it with a store built in one go."""
    make_model(folder / "model")
    make_text(folder / "train.jsonl", n_tokens)
    # Children are forked before this process runs torch or zarr, whose threads a fork does not copy.
    _wait(_start(folder, folder / "whole/a.zarr"))
    n_files = sum(1 for _ in _files(folder / "whole/a.zarr"))
    killed_at = []
    partial = folder / "killed/partial"
    for target in sorted(rng.sample(range(5, n_files - 5), kills)):
        child = _start(folder, folder / "killed/a.zarr")
        if _kill_at(child, partial, target, rng.random() * 0.01):
            killed_at.append(len(_names(partial)))
    _wait(_start(folder, folder / "killed/a.zarr"))
    whole, resumed = (dict(_files(folder / name / "a.zarr")) for name in ("whole", "killed"))
    store = ActivationStore.open(folder / "killed/a.zarr")
    store.verify()
    return {
        "kills": len(killed_at),
        "files_at_each_kill": killed_at,
        "files": n_files,
        "windows": len(store.windows),
        "tokens": store.n_tokens,
        "identical": whole == resumed,
    }


def _build(folder: Path, final: Path) -> None:
    settings = recommended().activations.but(context_length=64, window_rows=1024)
    machine = recommended().machine.but(batch_tokens=256)
    text, model = folder / "train.jsonl", folder / "model"
    build_store(final, text, model, settings, machine, source="random", seed=0, device="cpu")


def _start(folder: Path, final: Path) -> int:
    child = os.fork()
    if child:
        return child
    os.close(2)  # its progress is of no interest
    os.open(os.devnull, os.O_WRONLY)
    try:
        _build(folder, final)
    finally:
        os._exit(0)


def _wait(child: int) -> None:
    os.waitpid(child, 0)


def _kill_at(child: int, partial: Path, n_files: int, delay: float) -> bool:
    """Whether the child was killed before it ended by itself."""
    while len(_names(partial)) < n_files:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _names(folder: Path) -> list[Path]:
    """All files; unlike rglob, os.walk does not mind that a child renames its folder meanwhile."""
    return [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]


def _files(folder: Path) -> list[tuple[str, str]]:
    paths = _names(folder)
    return [(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]


if __name__ == "__main__":
    main()
