"""From a store of activations to a folder with a trained dictionary, and what it does on stored activations.

As many dictionaries as fit in memory share one pass over the store.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.activations.loader import ActivationLoader
from pipeline.activations.store import ActivationStore
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json
from pipeline.core.processes import MachineSettings
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.distributed import n_processes, rank
from pipeline.sae.folder import check_origin, load_pretrained, save_dictionary
from pipeline.sae.inputs import inputs_of
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Trainer
from pipeline.sae.training import remove_checkpoint, train


def bytes_of(settings: SAESettings, d_model: int) -> int:
    """Peak of one dictionary in training.

    Encoder and decoder with gradient and both moments of Adam, 4 x 2 [s, d] in float32; pre-activations and their
    comparison, [b, s] in float32 and bool; products of codes and the matrix made from them, 2 [s, s] in float64.
    """
    weights = 4 * 2 * settings.d_sae * d_model * 4
    batch = settings.batch_size * settings.d_sae * 5
    products = 2 * settings.d_sae**2 * 8 if settings.correlation_every else 0
    return weights + batch + products


def passes(needs: list[int], budget: int) -> list[list[int]]:
    """Numbers of the dictionaries of each pass, in order; one that is larger than the budget has a pass to itself."""
    groups: list[list[int]] = []
    left = 0
    for number, need in enumerate(needs):
        if not groups or need > left:
            groups.append([])
            left = budget
        groups[-1].append(number)
        left -= need
    return groups


@torch.no_grad()
def measure(dictionary: Dictionary, blocks: Iterable[torch.Tensor], mean_d: torch.Tensor) -> dict[str, float]:
    """Explained variance, L0 and dead share over blocks of raw activations [n, d].

    explained_variance = 1 - sum ||x - x^||^2 / sum ||x - mean||^2;  l0 = mean active latents per row;
    dead_share = share of latents that fire on none of the rows;  all sums in float64.
    """
    error = variance = active = rows = 0.0
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool, device=dictionary.b_dec.device)
    mean_d = mean_d.to(dictionary.b_dec)
    for acts_nd in blocks:
        acts_nd = acts_nd.to(dictionary.b_dec.device)
        codes = dictionary.encode(acts_nd)
        error += float((dictionary.decode(codes) - acts_nd).double().square().sum())
        variance += float((acts_nd - mean_d).double().square().sum())
        active += float((codes > 0).sum())
        fired |= (codes > 0).any(0)
        rows += len(acts_nd)
    return {
        "explained_variance": 1 - error / variance,
        "l0": active / rows,
        "dead_share": 1 - float(fired.double().mean()),
        "rows": int(rows),
    }


TRAINING = "training.json"
_MEASURED_ROWS = 65_536  # half of a write window: a shuffled sample of the store
_BLOCK_ROWS = 4096


def build_dictionary(
    store: ActivationStore, settings: SAESettings, machine: MachineSettings, seed: int, device: str, folder: Path
) -> dict[str, Any]:
    """Train (or continue) in ``folder``, write the dictionary and ``training.json`` there; returns its figures.

    The dictionaries of ``settings.also`` go to ``also/0``, ``also/1`` and so on inside it. With several processes each
    trains on its own chunks of the store; the first one writes, the others return {}.
    """
    _check_varied(store)
    if settings.pretrained is not None:
        origin = check_origin(settings.pretrained, _metadata(store))
        dictionary = load_pretrained(settings.pretrained, store.d_model).to(device)
        about = {"settings": settings.plain(), "seed": seed, "curves": [], "snapshots": [], "origin": origin}
        return _write(folder, store, dictionary, about)
    plans = _plans(settings, seed, folder)
    needs = [bytes_of(plan.settings, store.d_model) for plan in plans]
    for group in passes(needs, machine.sae_memory_mib << 20):
        together = [plans[number] for number in group]
        if not (together[-1].folder / TRAINING).exists():  # the last to be written
            _train(store, together, seed, device, machine.loader_memory_mib)
        if rank() == 0:
            remove_checkpoint(together[0].folder)
    return {} if rank() > 0 else read_json(folder / TRAINING)["final"]


def _check_varied(store: ActivationStore) -> None:
    """Refuse rows that are all the same, up to the rounding of float64 sums: nothing is to be explained."""
    if store.var_d.sum() <= 1e-12 * np.square(store.mean_d).sum():
        raise PipelineError(
            f"every row of {store.path} is the same, so a dictionary has nothing to explain; look at the model, at "
            "`activations.layer` and `activations.site`, and at the text"
        )


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
    inputs = inputs_of(store, plans[0].settings)
    trainers = [Trainer(plan.settings, inputs, plan.seed, device) for plan in plans]
    ranks = {"rank": rank(), "world_size": n_processes()}
    batch_size = plans[0].settings.batch_size
    loader = ActivationLoader(store, batch_size, seed, memory_mib, **ranks, device=device, draws=inputs.draws)
    for plan in plans:
        plan.folder.mkdir(parents=True, exist_ok=True)
    all_curves = train(trainers, loader, [plan.folder for plan in plans])
    if rank() > 0:
        return
    for plan, trainer, curves in zip(plans, trainers, all_curves, strict=True):
        about = {"settings": plan.settings.plain(), "seed": plan.seed, "curves": curves.rows}
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
