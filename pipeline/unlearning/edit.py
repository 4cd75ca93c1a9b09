"""An edit: what is done to the model, as data. No code, no pickle; checked when it is read and when it is applied."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipeline.core.errors import PipelineError
from pipeline.core.files import hash_files, read_json, write_json

VERSION = 3  # of edit.json and edit.safetensors; 2, which is read too, had no origin, tensors and sha256


class Guard(NamedTuple):
    """A linear detector on the largest code of each latent so far in the sequence (``max_s``).

    It fires at a position where ``max_s @ weight_s + bias > 0``; only there does the edit act. A guard blocks, it does
    not erase: whoever can remove the hook has the knowledge back.
    """

    weight_s: torch.Tensor
    bias: float


class Origin(NamedTuple):
    """What an edit was made for: hashes of weights (``origin.hash_weights``), and the token that is never edited."""

    model: str
    dictionary: str
    bos: int | None


class Edit(NamedTuple):
    """One way of forgetting one target.

    A latent of ``latents`` that fires with code z gets the code ``factor z + value`` instead, the SAE's error kept: a
    clamp has the factor 0, a gate the value 0. ``groups`` says which latents belong together (their numbers, one list a
    group). ``shift`` is added to the residual stream wherever the guard fires. ``weights`` replaces parameters by name.
    All are empty in the method ``none``.
    """

    method: str
    level: str
    target: tuple[str, ...]
    layer: int
    latents: torch.Tensor  # int64 [k]
    values: torch.Tensor  # float32 [k]
    factors: torch.Tensor  # float32 [k]
    groups: tuple[tuple[int, ...], ...] = ()
    guard: Guard | None = None
    shift: torch.Tensor | None = None  # float32 [d]
    weights: dict[str, torch.Tensor] = {}  # noqa: RUF012 (never mutated)
    settings: dict[str, Any] = {}  # noqa: RUF012 (the swept values that made this edit)
    origin: Origin | None = None  # None in an edit that was not written by a run, or before version 3


def no_edit(level: str, target: tuple[str, ...], layer: int) -> Edit:
    """The method ``none``: the model as it is."""
    return Edit("none", level, target, layer, torch.empty(0, dtype=torch.long), torch.empty(0), torch.empty(0))


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
    settings = settings | {"multiplier": multiplier}
    return Edit(method, level, target, layer, latents, values, torch.zeros_like(values), kept, settings=settings)


def save_edit(folder: Path, edit: Edit) -> None:
    """Write ``edit.json`` (what it is) and ``edit.safetensors`` (its numbers); ValueError if it contradicts itself."""
    _check_sound(edit)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"latents": edit.latents, "values": edit.values, "factors": edit.factors}
    if edit.guard:
        tensors["guard_weight"] = edit.guard.weight_s
    if edit.shift is not None:
        tensors["shift"] = edit.shift
    tensors |= {f"weights.{name}": tensor for name, tensor in edit.weights.items()}
    file = folder / "edit.safetensors"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
    description = {
        "version": VERSION,
        "method": edit.method,
        "level": edit.level,
        "target": list(edit.target),
        "layer": edit.layer,
        "groups": [list(group) for group in edit.groups],
        "guard_bias": edit.guard.bias if edit.guard else None,
        "settings": edit.settings,
        "origin": edit.origin and edit.origin._asdict(),
        "tensors": sorted(tensors),
        "sha256": hash_files([file]),
    }
    write_json(folder / "edit.json", description)


def load_edit(folder: Path) -> Edit:
    """The edit in a folder. The folder is untrusted: a missing, damaged or contradictory file is one sentence."""
    if not (folder / "edit.json").exists():
        raise PipelineError(f"{folder} holds no edit.json; an edit is a folder such as data/unlearning/subtree/topic")
    file = folder / "edit.safetensors"
    try:
        description = read_json(folder / "edit.json")
        edit = _read(description, load_file(file))
        _check_sound(edit)
        if description["version"] > 2 and description["sha256"] != hash_files([file]):
            raise ValueError(f"{file.name} is not the file that was written with edit.json; copy both again")
    except (KeyError, TypeError, ValueError, AttributeError, OSError, SafetensorError) as error:
        raise PipelineError(f"{folder} is not a readable edit ({type(error).__name__}: {error})") from None
    return edit


def _read(description: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Edit:
    version = description["version"]
    if version not in (2, VERSION):
        raise ValueError(f"it has version {version!r}, this program reads versions 2 and {VERSION}")
    if version == VERSION:
        _check_list(description["tensors"], tensors)
    bias, origin = description["guard_bias"], description.get("origin")
    if (bias is None) == ("guard_weight" in tensors):
        raise ValueError("of guard_bias and guard_weight one is there and the other is not")
    return Edit(
        str(description["method"]),
        str(description["level"]),
        tuple(map(str, description["target"])),
        int(description["layer"]),
        tensors["latents"],
        tensors["values"],
        tensors["factors"],
        tuple(tuple(map(int, group)) for group in description["groups"]),
        None if bias is None else Guard(tensors["guard_weight"], float(bias)),
        tensors.get("shift"),
        {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")},
        dict(description["settings"]),
        None if origin is None else Origin(str(origin["model"]), str(origin["dictionary"]), origin["bos"]),
    )


def _check_list(listed: list[str], tensors: dict[str, torch.Tensor]) -> None:
    """Refuse tensors other than those that were written."""
    for problem, names in (("lacks", {*listed} - {*tensors}), ("has a surplus", {*tensors} - {*listed})):
        if names:
            raise ValueError(f"edit.safetensors {problem} {min(names)}, by the list in edit.json; copy the edit again")


def _check_sound(edit: Edit) -> None:
    """Refuse what contradicts itself, whatever the model: a ValueError with the reason."""
    if edit.latents.dtype != torch.long or edit.latents.ndim != 1:
        raise ValueError(f"latents are {edit.latents.dtype} {tuple(edit.latents.shape)}, not a row of int64")
    if len(edit.latents.unique()) < len(edit.latents):
        raise ValueError("latents hold a number twice")
    numbers = {"values": edit.values, "factors": edit.factors}
    for name, tensor in numbers.items():
        if tensor.shape != edit.latents.shape:
            raise ValueError(f"{len(edit.latents)} latents have {name} of shape {tuple(tensor.shape)}")
    if edit.guard:
        numbers |= {"guard_weight": edit.guard.weight_s, "guard_bias": torch.tensor(edit.guard.bias)}
    if edit.shift is not None:
        numbers["shift"] = edit.shift
    for name, tensor in (numbers | edit.weights).items():
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise ValueError(f"{name} holds something that is not a finite real number")
