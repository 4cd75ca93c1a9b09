"""An edit: what is done to the model, as data. No code, no pickle; shapes are checked when it is applied."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipeline.errors import PipelineError
from pipeline.files import read_json, write_json


class Guard(NamedTuple):
    """A linear detector on the largest code of each latent so far in the sequence (``max_s``).

    It fires at a position where ``max_s @ weight_s + bias > 0``; only there does the edit act. A guard blocks, it does
    not erase: whoever can remove the hook has the knowledge back.
    """

    weight_s: torch.Tensor
    bias: float


class Edit(NamedTuple):
    """One way of forgetting one target.

    ``latents`` that fire are set to ``values`` (zero or below), the SAE's error kept; ``groups`` says which of them
    belong together (numbers of latents, one list a group). ``weights`` replaces parameters by name. Both are empty in
    the method ``none``.
    """

    method: str
    level: str
    target: tuple[str, ...]
    layer: int
    latents: torch.Tensor  # int64 [k]
    values: torch.Tensor  # float32 [k]
    groups: tuple[tuple[int, ...], ...] = ()
    guard: Guard | None = None
    weights: dict[str, torch.Tensor] = {}  # noqa: RUF012 (never mutated)
    settings: dict[str, Any] = {}  # noqa: RUF012 (the swept values that made this edit)


def no_edit(level: str, target: tuple[str, ...], layer: int) -> Edit:
    """The method ``none``: the model as it is."""
    return Edit("none", level, target, layer, torch.empty(0, dtype=torch.long), torch.empty(0))


def clamped(
    method: str,
    level: str,
    target: tuple[str, ...],
    layer: int,
    groups: list[list[int]],
    scale_s: torch.Tensor,
    multiplier: float,
    settings: dict[str, Any],
) -> Edit:
    """Clamp every latent of ``groups`` to ``-multiplier`` times its own scale (its mean code where it fires)."""
    latents = torch.tensor([latent for group in groups for latent in group], dtype=torch.long)
    values = -multiplier * scale_s[latents].float()
    kept = tuple(tuple(int(latent) for latent in group) for group in groups)
    return Edit(method, level, target, layer, latents, values, kept, settings=settings | {"multiplier": multiplier})


def save_edit(folder: Path, edit: Edit) -> None:
    """Write ``edit.json`` (what it is) and ``edit.safetensors`` (its numbers)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"latents": edit.latents, "values": edit.values}
    if edit.guard:
        tensors["guard_weight"] = edit.guard.weight_s
    tensors |= {f"weights.{name}": tensor for name, tensor in edit.weights.items()}
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / "edit.safetensors"
    )
    description = {
        "version": 1,
        "method": edit.method,
        "level": edit.level,
        "target": list(edit.target),
        "layer": edit.layer,
        "groups": [list(group) for group in edit.groups],
        "guard_bias": edit.guard.bias if edit.guard else None,
        "settings": edit.settings,
    }
    write_json(folder / "edit.json", description)


def load_edit(folder: Path) -> Edit:
    """The edit in a folder. The folder is untrusted: a missing or damaged file is one sentence."""
    try:
        description = read_json(folder / "edit.json")
        tensors = load_file(folder / "edit.safetensors")
        guard = description["guard_bias"]
        return Edit(
            str(description["method"]),
            str(description["level"]),
            tuple(description["target"]),
            int(description["layer"]),
            tensors["latents"],
            tensors["values"],
            tuple(tuple(group) for group in description["groups"]),
            None if guard is None else Guard(tensors["guard_weight"], float(guard)),
            {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")},
            dict(description["settings"]),
        )
    except (KeyError, TypeError, ValueError, FileNotFoundError, SafetensorError) as error:
        raise PipelineError(f"{folder} is not a readable edit ({type(error).__name__}: {error})") from None
