"""The state of a training run in one file that is either complete or not there."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

NAME = "checkpoint.safetensors"


class Checkpoint(NamedTuple):
    """Tensors by name, and the JSON-able rest: step, loader position, thresholds, training curves."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old one or the new one."""
    temporary = folder / f".{NAME}.partial"
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, temporary, metadata={"state": json.dumps(checkpoint.state)})
    temporary.replace(folder / NAME)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The folder's checkpoint, or None before the first one."""
    if not (folder / NAME).exists():
        return None
    with safe_open(folder / NAME, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return Checkpoint(tensors, json.loads(file.metadata()["state"]))


def remove_checkpoint(folder: Path) -> None:
    """A finished dictionary needs no checkpoint."""
    (folder / NAME).unlink(missing_ok=True)
