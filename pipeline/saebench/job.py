"""What one sae-bench worker is to do: plain data that travels as JSON from ``run`` to ``worker``.

It is made of section ``evaluation`` and of the edits that ``unlearn`` made: the dictionary with latents rewritten.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.files import fingerprint, write_json
from pipeline.core.processes import MachineSettings
from pipeline.core.settings import require
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.unlearning.edit import load_edit

EVALS = ("core", "sparse_probing", "scr", "tpp", "sae_probes", "absorption", "unlearning")


@dataclass(frozen=True)
class Edit:
    """Where a latent fires with code z it gets ``factor z + value`` instead, one number of each a latent."""

    latents: tuple[int, ...]  # in the order of their groups
    values: tuple[float, ...]  # in the dictionary's own units
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        require(
            len(self.latents) == len(self.values) == len(self.factors),
            f"an edit of {len(self.latents)} latents has {len(self.values)} values and {len(self.factors)} factors",
        )


@dataclass(frozen=True)
class BenchSettings:
    """How sae-bench runs. The defaults are the seed's configuration of sparse probing, to the letter."""

    data: str = "hub"  # "hub": sae-bench's own data sets; "local": the labelled texts of data/corpus
    dtype: str = "bfloat16"  # of the language model and the SAE
    device: str = "cuda"
    context_length: int = 128  # tokens per text
    llm_batch_size: int = 32  # texts
    sae_batch_size: int = 125  # texts
    probe_train_size: int = 4000  # texts per probe, half of them of the class; fewer where local data has fewer
    probe_test_size: int = 1000  # texts per probe
    k_values: tuple[int, ...] = (1, 2, 5, 10, 20, 50)  # latents per sparse probe
    ablation_sizes: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 500)  # latents removed by SCR and TPP
    probe_epochs: int = 20  # epochs of the probes of SCR and TPP
    core_reconstruction_batches: int = 200  # batches of 16 sequences for KL and cross-entropy
    core_sparsity_batches: int = 2000  # batches of 16 sequences for L0, variance and densities
    core_dtype: str = "float32"  # bf16 averages the cross-entropy in steps of 1/32
    unlearning_sequences: int = 1024  # sequences of the forget and the retain corpus that rank the latents
    unlearning_length: int = 1024  # tokens per sequence
    forget_corpus: str = ""  # path of the gated bio-forget-corpus.jsonl, for the unlearning eval
    question_ids: str = ""  # folder with sae-bench's stored ids of known questions; else they are found (about 20 min)
    seed: int = 42
    threads: int = 1  # CPU threads of the worker

    def __post_init__(self) -> None:
        require(self.data in ("hub", "local"), f"`data` must be hub or local, not {self.data!r}")
        for name in ("dtype", "core_dtype"):
            value = getattr(self, name)
            require(value in ("float32", "bfloat16"), f"`{name}` must be float32 or bfloat16, not {value!r}")
        require(bool(self.k_values) and min(self.k_values) > 0, "`k_values` must be positive numbers of latents")
        for name in ("context_length", "llm_batch_size", "sae_batch_size", "probe_train_size", "probe_test_size"):
            require(getattr(self, name) > 0, f"`{name}` must be at least 1")


@dataclass(frozen=True)
class Job:
    """One worker's work. Paths are absolute: the worker does not run in the caller's directory."""

    model_dir: Path
    sae_dir: Path
    corpus_dir: Path
    out_dir: Path
    evals: tuple[str, ...]
    hook_layer: int
    hook_name: str
    model_name: str  # what sae-bench records, and keys its caches by
    content: str  # fingerprint of the model's, the SAE's and the corpus' files, of this adapter and the packages
    settings: BenchSettings = field(default_factory=BenchSettings)
    edits: dict[str, Edit] = field(default_factory=dict)

    @property
    def device(self) -> str:
        return self.settings.device

    def fingerprint(self, name: str) -> str:
        """A hash of all that shapes the result of eval ``name``; a stored result with another hash is stale."""
        settings = dataclasses.asdict(self.settings)
        del settings["threads"], settings["device"]
        edits = {edit: dataclasses.asdict(value) for edit, value in self.edits.items()}
        return fingerprint([name, self.hook_name, self.model_name, self.content, settings, edits])

    def write(self, path: Path) -> None:
        """Save for the worker."""
        write_json(path, json.loads(json.dumps(dataclasses.asdict(self), default=str)))


def read_job(path: Path) -> Job:
    """The job that ``Job.write`` saved."""
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.pop("settings").items()}
    edits = {
        name: Edit(*(tuple(edit[key]) for key in ("latents", "values", "factors")))
        for name, edit in raw.pop("edits").items()
    }
    folders = {name: Path(raw.pop(name)) for name in ("model_dir", "sae_dir", "corpus_dir", "out_dir")}
    evals = tuple(raw.pop("evals"))
    return Job(**raw, **folders, evals=evals, settings=BenchSettings(**settings), edits=edits)


def edits_of(unlearning: Path, names: Sequence[str]) -> dict[str, Edit]:
    """By name, ``subtree/topic`` say, those of ``names`` that were made; a run need not have every method or level.

    Only an edit of latents is one of the dictionary: guards act on whole sequences, and weights are not sae-bench's.
    """
    found = {}
    for name in names:
        if not (unlearning / name / "edit.json").exists():
            continue
        edit = load_edit(unlearning / name)
        if edit.guard is not None or edit.shift is not None or edit.weights or not len(edit.latents):
            raise PipelineError(
                f"evaluation.sae_bench_edits has {name}, which does more than rewrite latents; sae-bench evaluates "
                "dictionaries, so name an edit that clamps or scales latents, such as subtree/topic"
            )
        columns = (edit.latents.tolist(), edit.values.tolist(), edit.factors.tolist())
        found[name.replace("/", "_")] = Edit(*map(tuple, columns))
    return found


def bench_settings(settings: EvaluationSettings, machine: MachineSettings, seed: int, device: str) -> BenchSettings:
    """The settings of one worker; what the section does not name keeps sae-bench's own size.

    On sae-bench's own data sets its seed stays too (42, which the seed's baseline has): else figures would differ from
    published ones by the draw of the texts.
    """
    return BenchSettings(
        data=settings.data,
        dtype=settings.dtype,
        device=device,
        context_length=settings.context_length,
        llm_batch_size=machine.llm_batch_size,
        sae_batch_size=machine.sae_batch_size,
        probe_train_size=settings.probe_train_size,
        probe_test_size=settings.probe_test_size,
        k_values=settings.k_values,
        core_reconstruction_batches=settings.core_batches,
        core_sparsity_batches=settings.core_batches,
        forget_corpus=settings.forget_corpus,
        question_ids=settings.question_ids,
        threads=machine.threads,
        **({"seed": seed} if settings.data == "local" else {}),
    )
