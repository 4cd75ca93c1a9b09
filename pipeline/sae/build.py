"""From a store of activations to a folder with a trained dictionary."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipeline.activations.loader import ActivationLoader
from pipeline.activations.store import ActivationStore
from pipeline.files import read_json, write_json
from pipeline.sae.checkpoint import remove_checkpoint
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.distributed import n_processes, rank
from pipeline.sae.folder import save_dictionary
from pipeline.sae.passes import bytes_of, passes
from pipeline.sae.pretrained import load_pretrained
from pipeline.sae.quality import measure
from pipeline.sae.trainer import Trainer
from pipeline.sae.training import train
from pipeline.settings.sae import SAESettings

TRAINING = "training.json"
_MEASURED_ROWS = 65_536  # half of a write window: a shuffled sample of the store
_BLOCK_ROWS = 4096


def build_dictionary(
    store: ActivationStore, settings: SAESettings, seed: int, device: str, memory_mib: int, folder: Path
) -> dict[str, Any]:
    """Train (or continue) in ``folder``, write the dictionary and ``training.json`` there; returns its figures.

    The dictionaries of ``settings.also`` go to ``also/0``, ``also/1`` and so on inside it. With several processes each
    trains on its own chunks of the store; the first one writes, the others return {}.
    """
    if settings.pretrained is not None:
        dictionary = load_pretrained(settings.pretrained, store.d_model).to(device)
        about = {"settings": asdict(settings), "seed": seed, "curves": [], "snapshots": []}
        return _write(folder, store, dictionary, about)
    plans = _plans(settings, seed, folder)
    needs = [bytes_of(plan.settings, store.d_model) for plan in plans]
    for group in passes(needs, settings.memory_mib << 20):
        together = [plans[number] for number in group]
        if not (together[-1].folder / TRAINING).exists():  # the last to be written
            _train(store, together, seed, device, memory_mib)
        if rank() == 0:
            remove_checkpoint(together[0].folder)
    return {} if rank() > 0 else read_json(folder / TRAINING)["final"]


class _Plan(NamedTuple):
    """One dictionary to train."""

    settings: SAESettings
    seed: int
    folder: Path


def _plans(settings: SAESettings, seed: int, folder: Path) -> list[_Plan]:
    """The dictionary of the settings first, then its variations."""
    plans = [_Plan(settings, seed, folder)]
    for number, variation in enumerate(settings.also):
        own_seed = seed if variation.seed is None else variation.seed
        plans.append(_Plan(settings.varied(variation), own_seed, folder / "also" / str(number)))
    return plans


def _train(store: ActivationStore, plans: list[_Plan], seed: int, device: str, memory_mib: int) -> None:
    """Train some dictionaries in one pass over the store; ``seed`` is that of the batches' order."""
    mean_d = torch.as_tensor(store.mean_d)
    trainers = [Trainer(plan.settings, mean_d, store.mean_norm, plan.seed, device) for plan in plans]
    ranks = {"rank": rank(), "world_size": n_processes()}
    loader = ActivationLoader(store, plans[0].settings.batch_size, seed, memory_mib, **ranks, device=device)
    for plan in plans:
        plan.folder.mkdir(parents=True, exist_ok=True)
    all_curves = train(trainers, loader, [plan.folder for plan in plans])
    if rank() > 0:
        return
    for plan, trainer, curves in zip(plans, trainers, all_curves, strict=True):
        about = {"settings": asdict(plan.settings), "seed": plan.seed, "curves": curves.rows}
        _write(plan.folder, store, trainer.dictionary(), about | {"snapshots": curves.snapshots})


def _write(folder: Path, store: ActivationStore, dictionary: Dictionary, about: dict[str, Any]) -> dict[str, Any]:
    """The folder's content, with the figures of the dictionary as it is written."""
    final = measure(dictionary, _sample(store), torch.as_tensor(store.mean_d)) | {"d_sae": dictionary.d_sae}
    save_dictionary(folder, dictionary, _metadata(store))
    write_json(folder / TRAINING, about | {"final": final})
    return final


def _sample(store: ActivationStore) -> Iterator[torch.Tensor]:
    stop = min(store.n_tokens, _MEASURED_ROWS)
    for start in range(0, stop, _BLOCK_ROWS):
        yield store.rows(start, min(start + _BLOCK_ROWS, stop))


def _metadata(store: ActivationStore) -> dict[str, Any]:
    """What SAELens and sae-bench look for in ``cfg.json``."""
    attributes = store.attributes
    return {
        "model_name": attributes["model"]["id"],
        "hook_name": attributes["hook_point"],
        "hook_layer": attributes["layer"],
        "prepend_bos": True,
    }
