"""Dictionaries of a real residual stream side by side: on one store, for as many tokens, of one size, with one k.

    this project    the dictionary of the run: every dimension standardised, long tokens left out, rare ones drawn often
    rarity 0.5      the same with rare tokens drawn still oftener
    raw             the same without these three: all dimensions divided by one number
    SAELens         BatchTopK as SAELens trains it, inputs scaled to a mean norm of the root of d
    ReLU, L1        the classic one, on standardised inputs

Figures are those of ``evaluate``, on one bench of held-out text and probes that all answer. The settings of the run's
dictionary were chosen by ``spliced_known_mcq`` of the test facts, so ``unseen`` asks the dev facts too, which chose
nothing here. A row is kept as it comes, and a call that follows makes what is missing: after another run take
results/dictionaries.json away.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pipeline.activations.layer import at_layer
from pipeline.activations.loader import ActivationLoader
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.core.files import building, read_json
from pipeline.core.processes import MachineSettings
from pipeline.core.progress import track
from pipeline.core.settings import Section, read_section
from pipeline.corpus.targets import COPYING
from pipeline.evaluation.kinds import known_probes
from pipeline.evaluation.knowledge import reconstructed, sae_figures
from pipeline.sae.build import build_dictionary
from pipeline.sae.dictionary import Dictionary
from pipeline.sae.folder import load_dictionary
from pipeline.sae.settings import SAESettings
from pipeline.unlearning.bench import Bench, Outcome
from pipeline.unlearning.edit import no_edit
from pipeline.unlearning.subject import open_subject

TEXT_TOKENS = 6500  # of held-out text
RATE_ROWS = 50_000  # rows of the store on which dead and dense latents are counted
OFTEN = {"rarity": 0.5}
RAW = {"inputs": "mean_norm", "most_norm": None, "rarity": 0.0}
RELU = {"architecture": "relu", "l1": 0.04}


def dictionary_rows(data: Path, seed: int, done: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for every dictionary that is not done: CPU seconds of its training here, and its figures."""
    settings, machine = _section(data, SAESettings, "sae"), _section(data, MachineSettings, "machine")
    store = ActivationStore.open(data / "activations.zarr")
    activations = at_layer(_section(data, ActivationsSettings, "activations"), data / "model")
    targets = read_json(data / "unlearning/targets.json")
    subject = open_subject(data / "model", data / "sae", data / "corpus", activations, targets, "cpu")
    probes, texts = subject.split("test")
    bench = subject.bench(probes, subject.some(texts, TEXT_TOKENS, seed))
    before = bench.measure(no_edit("", (), subject.layer))
    unseen = subject.bench(subject.split("dev")[0], [])
    knew = unseen.measure(no_edit("", (), subject.layer))
    makers: dict[str, Callable[[], Dictionary]] = {
        "this project": partial(by_this_project, data, store, settings, machine, seed),
        "rarity 0.5": partial(by_this_project, data, store, settings.but(**OFTEN), machine, seed),
        "raw": partial(by_this_project, data, store, settings.but(**RAW), machine, seed),
        "SAELens": partial(by_sae_lens, store, settings, machine, seed),
        "ReLU, L1": partial(by_this_project, data, store, settings.but(**RELU), machine, seed),
    }
    for name in [name for name in makers if name not in {row["dictionary"] for row in done}]:
        started = time.process_time()
        dictionary = makers[name]()
        seconds = round(time.process_time() - started)
        bench.dictionary = unseen.dictionary = dictionary
        figures = sae_figures(bench, before, rates(store, dictionary), seed)
        row = {"dictionary": name, "seconds": seconds, "means": figures["means"], "stderrs": figures["stderrs"]}
        yield row | {"unseen": kept_facts(unseen, knew)}


def kept_facts(bench: Bench, before: Outcome) -> dict[str, float]:
    """Accuracy on the facts in the tree that the unedited model knows, by itself and through the dictionary."""
    in_tree = np.array([bool(probe["path"]) and probe["kind"] != COPYING for probe in bench.probes])
    asked = known_probes(bench.probes, before.choice_q.numpy()) & in_tree
    spliced = reconstructed(bench)
    right = {"unedited": before.choice_q.numpy()[asked], "spliced": spliced.choice_q.numpy()[asked]}
    return {name: float(right_q.mean()) for name, right_q in right.items()} | {"probes": int(asked.sum())}


def _section(data: Path, cls: type[Section], key: str) -> Section:
    return read_section(data / "params.yaml", cls, key)


def by_this_project(
    data: Path, store: ActivationStore, settings: SAESettings, machine: MachineSettings, seed: int
) -> Dictionary:
    """Trained as the stage does it."""
    with building(data / "variant") as folder:
        build_dictionary(store, settings, machine, seed, "cpu", folder)
        return load_dictionary(folder)


def by_sae_lens(store: ActivationStore, settings: SAESettings, machine: MachineSettings, seed: int) -> Dictionary:
    """SAELens's own trainer and schedule; the scale of its inputs is folded in as SAELens does."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(seed)
    scale = store.d_model**0.5 / store.mean_norm
    rows = ActivationLoader(store, settings.batch_size, seed, machine.loader_memory_mib)
    scaled = (batch * scale for batch in rows)
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=store.d_model, d_sae=settings.d_sae, k=settings.k))
    tokens = settings.steps * settings.batch_size
    config = SAETrainerConfig(
        tokens, settings.batch_size, lr=settings.learning_rate, lr_end=settings.learning_rate / 10,
        lr_warm_up_steps=settings.warm_up_steps, lr_decay_steps=settings.steps // 5,
        dead_feature_window=settings.dead_after_tokens // settings.batch_size,
    )  # fmt: skip
    trainer = SAETrainer(config, sae, data_provider=scaled)
    for _ in track(range(settings.steps), "SAELens", settings.steps, "steps"):
        trainer.step(next(scaled))
        trainer.n_training_steps += 1
    sae.fold_activation_norm_scaling_factor(scale)
    with TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        return load_dictionary(Path(folder))


def rates(store: ActivationStore, dictionary: Dictionary) -> np.ndarray:
    """The share of the store's rows on which each latent fires, from every n-th chunk of rows."""
    fired_s, n_rows = torch.zeros(dictionary.d_sae), 0
    step = max(1, store.n_tokens // RATE_ROWS) * store.chunk_rows
    for start in range(0, store.n_tokens, step):
        rows_nd = store.rows(start, min(start + store.chunk_rows, store.n_tokens))
        fired_s += (dictionary.encode(rows_nd) > 0).sum(0)
        n_rows += len(rows_nd)
    return (fired_s / n_rows).numpy()
