"""Build a complete activation store from a model folder and a text file: what the stage ``cache_activations`` does."""

import hashlib
import importlib.metadata
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from pipeline.activations.arithmetic import arithmetic_for
from pipeline.activations.caching import CachingJob, announce, cache, check_space, gigabytes, hooked_forward
from pipeline.activations.location import absolute, write_address
from pipeline.activations.plan import TokenPlan, plan_tokens
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import BITS
from pipeline.activations.writer import WindowWriter, create_store
from pipeline.core.errors import PipelineError
from pipeline.core.files import building, fingerprint, read_jsonl
from pipeline.core.processes import MachineSettings
from pipeline.language_model.hooks import hook_name
from pipeline.language_model.loading import load_model, load_tokenizer, model_identity
from pipeline.language_model.structure import check_points


def build_store(
    final: Path,
    text_file: Path,
    model_dir: Path,
    settings: ActivationsSettings,
    machine: MachineSettings,
    *,
    source: Any,
    seed: int,
    device: str,
) -> int:
    """Cache the activations of every text in ``text_file`` (JSON lines with ``text``); returns the number of rows.

    ``source`` is the text's provenance, kept in the attributes. A killed call leaves ``partial/`` beside ``final``,
    from which the next call with the same text, model and settings goes on.
    """
    points = hook_points(settings)
    tokenizer = load_tokenizer(model_dir)
    about = {"source": source, "device": device}
    provenance = _provenance(text_file, model_dir, tokenizer, settings, seed) | about
    arithmetic = arithmetic_for(machine.cache_arithmetic, torch.device(device).type)
    # both can change last bits, as the device can
    provenance["settings"] |= {"batch_tokens": machine.batch_tokens, "arithmetic": arithmetic}
    model = load_model(model_dir, n_layers=1 + max(layer for layer, _ in points.values()), device=device)
    check_points(model, points.values())
    try:
        with building(final, provenance) as folder:
            for litter in folder.rglob("*.partial"):  # what zarr was writing when an earlier call was killed
                litter.unlink()
            plan = _plan(text_file, tokenizer, folder / "tokens", settings)
            d_model = model.config.get_text_config().hidden_size
            place = folder if settings.url is None else f"{settings.url}/{final.name}-{fingerprint(provenance)}"
            stores = _stores(place, points, plan, d_model, settings, provenance)
            job = CachingJob(plan, stores, settings.window_rows, machine.batch_tokens, seed)
            bytes_per_row = len(points) * row_bytes(d_model, settings.dtype)
            if settings.url is None:
                check_space(job, folder, bytes_per_row)
            else:
                write_address(folder, place)
            with hooked_forward(model, points, arithmetic) as forward:
                announce(job, forward, bytes_per_row, arithmetic)
                if machine.cache_workers == 1 and machine.cache_scheduler is None:
                    cache(job, forward, d_model, bytes_per_row)
            if machine.cache_workers > 1 or machine.cache_scheduler is not None:
                from pipeline.activations.sharing import SharedJob, fill_with_workers

                del model, forward  # the workers have their own
                places = tuple((name, absolute(store.path)) for name, store in stores.items())
                threads = max(1, torch.get_num_threads() // machine.cache_workers)
                shared = SharedJob(
                    model_dir.absolute(),
                    (folder / "tokens").absolute(),
                    places,
                    tuple(points.items()),
                    settings,
                    machine,
                    seed,
                    device,
                    arithmetic,
                    threads,
                )
                fill_with_workers(shared, job.unfinished(), gigabytes(bytes_per_row))
                job.finish()
            shutil.rmtree(folder / "tokens")
    except OSError as error:
        raise PipelineError(
            f"{final} can't be written: {error.strerror or error}; make its folder writable, or make room, and run "
            "`uv run dvc repro cache_activations`"
        ) from None
    return plan.n_rows


def hook_points(settings: ActivationsSettings) -> dict[str, tuple[int, str]]:
    """The hook points by name; the first is the store's own, the others become stores under ``also/``."""
    points = {hook_name(settings.layer, settings.site): (settings.layer, settings.site)}
    for name in settings.also:
        _, layer, site = name.split(".")
        points[name] = (int(layer), site.removeprefix("hook_"))
    return points


def row_bytes(d_model: int, dtype: str) -> int:
    """Bytes on disk of one uncompressed row: the activations, four int32 of its token, and its norm.

    >>> row_bytes(2304, "bfloat16")
    4628
    """
    return d_model * np.dtype(BITS[dtype]).itemsize + 4 * 4 + 4


def _plan(
    text_file: Path, tokenizer: PreTrainedTokenizerBase, folder: Path, settings: ActivationsSettings
) -> TokenPlan:
    return plan_tokens(
        _texts(text_file),
        tokenizer,
        folder,
        packing=settings.packing,
        context_length=settings.context_length,
        keep_special=settings.keep_special,
        max_rows=settings.max_tokens,
    )


def _texts(text_file: Path) -> Iterator[str]:
    return (row["text"] for row in read_jsonl(text_file))


def _stores(
    place: Path | str,
    points: Mapping[str, tuple[int, str]],
    plan: TokenPlan,
    d_model: int,
    settings: ActivationsSettings,
    provenance: Mapping[str, Any],
) -> dict[str, WindowWriter]:
    """One writer per hook point, over new arrays or those of a killed call."""
    stores = {}
    for number, (name, (layer, site)) in enumerate(points.items()):
        path = f"{place}/also/{name}" if number else place
        create_store(
            path,
            plan.n_rows,
            d_model,
            dtype=settings.dtype,
            window_rows=settings.window_rows,
            chunk_mib=settings.chunk_mib,
            compression=settings.compression,
            attributes={**provenance, "hook_point": name, "layer": layer, "site": site},
        )
        stores[name] = WindowWriter(path, settings.mantissa_bits)
    return stores


def _provenance(
    text_file: Path,
    model_dir: Path,
    tokenizer: PreTrainedTokenizerBase,
    settings: ActivationsSettings,
    seed: int,
) -> dict[str, Any]:
    """Everything that shapes the bytes of a store."""
    if not text_file.exists():
        raise PipelineError(f"{text_file} is missing; run `uv run dvc repro prepare`")
    with text_file.open("rb") as file:
        text_hash = hashlib.file_digest(file, "sha256").hexdigest()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    return {
        "model": model_identity(model_dir),
        "tokenizer_sha256": hashlib.sha256(rules.encode()).hexdigest(),
        "text_sha256": text_hash,
        "settings": settings.plain(),
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "zarr", "numpy")},
    }
