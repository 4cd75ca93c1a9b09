"""From a store of activations to a folder with a trained dictionary."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.loader import ActivationLoader
from pipeline.activations.store import ActivationStore
from pipeline.files import write_json
from pipeline.sae.checkpoint import remove_checkpoint
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.distributed import n_processes, rank
from pipeline.sae.folder import save_dictionary
from pipeline.sae.pretrained import load_pretrained
from pipeline.sae.quality import measure
from pipeline.sae.trainer import Trainer
from pipeline.sae.training import train
from pipeline.settings.sae import SAESettings

_MEASURED_ROWS = 65_536  # half of a write window: a shuffled sample of the store
_BLOCK_ROWS = 4096


def build_dictionary(
    store: ActivationStore, settings: SAESettings, seed: int, device: str, memory_mib: int, folder: Path
) -> dict[str, Any]:
    """Train (or continue) in ``folder``, write the dictionary and ``training.json`` there; returns its figures.

    With several processes each trains on its own chunks of the store; the first one writes, the others return {}.
    """
    mean_d = torch.as_tensor(store.mean_d)
    about = {"settings": dataclasses.asdict(settings), "seed": seed}
    if settings.pretrained is not None:
        dictionary = load_pretrained(settings.pretrained, store.d_model).to(device)
        return _write(folder, store, dictionary, about | {"curves": [], "snapshots": []})
    trainer = Trainer(settings, mean_d, store.mean_norm, seed, device)
    ranks = {"rank": rank(), "world_size": n_processes()}
    loader = ActivationLoader(store, settings.batch_size, seed, memory_mib, **ranks, device=device)
    curves = train(trainer, loader, folder)
    if rank() > 0:
        return {}
    final = _write(folder, store, trainer.dictionary(), about | {"curves": curves.rows, "snapshots": curves.snapshots})
    remove_checkpoint(folder)
    return final


def _write(folder: Path, store: ActivationStore, dictionary: Dictionary, about: dict[str, Any]) -> dict[str, Any]:
    """The folder's content, with the figures of the dictionary as it is written."""
    final = measure(dictionary, _sample(store), torch.as_tensor(store.mean_d))
    save_dictionary(folder, dictionary, _metadata(store))
    write_json(folder / "training.json", about | {"final": final | {"d_sae": dictionary.d_sae}})
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
