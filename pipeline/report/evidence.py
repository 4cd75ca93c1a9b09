"""All that the report speaks of, read once: what the stages found, and what made it."""

import datetime
import hashlib
import importlib.metadata
import platform
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.saebench.results import Beside, beside_seed, beside_world, result_path, seed_caveats, seed_metrics

CLAMPED = "subtree"  # the method whose groups the page shows: its edit is a set of nodes of the tree
INTERVAL = 1.96  # standard errors: half a 95 % interval
PACKAGES = ("torch", "transformers", "sae-lens", "sae-bench", "numpy", "scipy", "zarr", "dask", "fastcluster", "numba")


@dataclass(frozen=True)
class Figures(ABC):
    """Entries of final_info.json, ``{key: {"means", "stderrs", ...}}``, and what is known of how edits were chosen."""

    entries: dict[str, dict[str, Any]]

    @abstractmethod
    def levels(self) -> list[str]:
        """The levels that have a target, from the coarsest."""

    @abstractmethod
    def target(self, level: str) -> str:
        """The node that is to be forgotten, as a path."""

    @abstractmethod
    def candidates(self, method: str, level: str) -> list[dict[str, Any]]:
        """What was tried on dev; empty where that was not kept."""

    @abstractmethod
    def setting(self, method: str, level: str) -> dict[str, Any]:
        """The setting that dev chose; empty where that was not kept."""

    def refits(self, level: str) -> dict[str, dict[str, Any]]:
        """Method -> ``{"fits": n, figure: [low, high]}``, nine of ten other fits; empty where none are known."""
        return {}

    def means(self, key: str) -> dict[str, float]:
        """The means of one entry; empty where it was not computed."""
        return self.entries.get(key, {}).get("means", {})

    def stderrs(self, key: str) -> dict[str, float]:
        """The standard errors of one entry, for those of its figures that have one."""
        return self.entries.get(key, {}).get("stderrs", {})

    def methods(self, level: str) -> list[str]:
        """The methods that were measured on a level's target."""
        keys = [key.split("/", 2) for key in self.entries if key.startswith("unlearning/")]
        return [method for _, method, of_level in keys if of_level == level]

    def written(self, key: str, name: str, digits: int = 3, scale: float = 1) -> str | None:
        """``27.1 ± 3.0``, half a 95 % interval; None for what was not computed."""
        return written(self.means(key), self.stderrs(key), name, digits, scale)


def written(
    means: Mapping[str, float], stderrs: Mapping[str, float], name: str, digits: int = 3, scale: float = 1
) -> str | None:
    """One figure as text, with half its 95 % interval where it has a standard error."""
    if name not in means:
        return None
    value = f"{scale * means[name]:,.{digits}f}"
    return f"{value} ± {INTERVAL * scale * stderrs[name]:.{digits}f}" if name in stderrs else value


class Cell(NamedTuple):
    """One method on one target: its edit and its dev sweep."""

    edit: dict[str, Any]
    candidates: list[dict[str, Any]]
    area: float  # under the sweep's curve of what is left against the worst drop, 0 to 1


class Baselines(NamedTuple):
    """What this run's sparse probing stands beside."""

    seed: dict[str, float]  # the seed's figures as they are
    caveats: list[str]  # what to know of them
    beside: list[Beside]  # this run's and the seed's; empty where this run has none
    world: dict[str, dict[str, float]]  # means of vanilla dictionaries, where it probes the embedded world's data
    refits: dict[str, dict[str, dict[str, Any]]]  # level -> method -> ranges over other fits; of a world only


@dataclass(frozen=True)
class Evidence(Figures):
    """Everything that the stages wrote; ``cells`` by (method, level)."""

    cells: dict[tuple[str, str], Cell]
    sae_bench: dict[str, Any]
    baselines: Baselines
    corpus: dict[str, Any]
    groups: dict[str, Any]  # of the default tree: its cuts and plateaus
    parents: list[dict[str, Any]]  # edges from latents to the more general ones that they imply
    cohering: list[dict[str, Any]]  # per cut of the default tree, the words and lifts of its groups
    completions: dict[str, dict[str, Any]]  # by level: prompts with the text before and after each edit
    cutting: dict[str, Any]  # what cutting single nodes of it does; empty where it was not measured
    stability: dict[str, dict[str, Any]]  # by scale
    training: dict[str, Any]
    sae: dict[str, Any]  # cfg.json
    times: list[dict[str, Any]]
    params: dict[str, Any]

    def levels(self) -> list[str]:
        return [level for level in self.corpus["levels"] if level in self.corpus["targets"]]

    def target(self, level: str) -> str:
        return " / ".join(self.corpus["targets"][level])

    def candidates(self, method: str, level: str) -> list[dict[str, Any]]:
        cell = self.cells.get((method, level))
        return cell.candidates if cell else []

    def refits(self, level: str) -> dict[str, dict[str, Any]]:
        return self.baselines.refits.get(level, {})

    def setting(self, method: str, level: str) -> dict[str, Any]:
        cell = self.cells.get((method, level))
        return cell.edit.get("settings", {}) if cell else {}

    def cuts(self) -> list[float]:
        """The correlations at which the default tree is cut, the coarsest first."""
        return [cut["correlation"] for cut in self.groups["cuts"]]

    def clamped(self) -> dict[str, list[list[int]]]:
        """By level the groups of latents that ``subtree`` clamps, the largest first."""
        edits = {level: self.cells[CLAMPED, level].edit for level in self.levels() if (CLAMPED, level) in self.cells}
        return {level: sorted(edit["groups"], key=len, reverse=True) for level, edit in edits.items()}

    def clamped_latents(self) -> dict[str, list[int]]:
        """By level the latents that ``subtree`` clamps."""
        return {level: [latent for group in groups for latent in group] for level, groups in self.clamped().items()}


def read_evidence(
    evaluation: Path,
    unlearning: Path,
    dendrogram: Path,
    sae: Path,
    corpus: Path,
    times: Sequence[Path],
    baselines: Path,
    params: dict[str, Any],
) -> Evidence:
    """Read what the stages wrote; an evaluation without sae-bench has none of its figures. ``params``: all of them."""
    summary, cutting = evaluation / "sae_bench" / "summary.json", evaluation / "tree" / "cutting.json"
    edits, about = unlearning.glob("*/*/edit.json"), read_json(corpus / "corpus.json")
    return Evidence(
        entries=read_entries(evaluation),
        cells={(path.parent.parent.name, path.parent.name): _cell(path.parent) for path in edits},
        sae_bench=read_json(summary) if summary.exists() else {},
        baselines=_baselines(evaluation, baselines, about["source"]["kind"]),
        corpus=about | {"targets": read_json(unlearning / "targets.json")},
        groups=read_json(dendrogram / "groups.json"),
        parents=read_json(dendrogram / "parents.json")["edges"],
        cohering=read_json(evaluation / "tree" / "groups.json"),
        completions=read_json(evaluation / "text" / "completions.json"),
        cutting=read_json(cutting) if cutting.exists() else {},
        stability={scale: read_json(dendrogram / scale / "stability.json") for scale in ("token", "document")},
        training=read_json(sae / "training.json"),
        sae=read_json(sae / "cfg.json"),
        times=[read_json(path) for path in times],
        params=params,
    )


def read_entries(evaluation: Path) -> dict[str, dict[str, Any]]:
    """Every entry of the files in ``data/evaluation``, the order of a run's own questions: model, SAE, tree, edits."""
    order = ("language_model", "sae", "hierarchy", "unlearning")
    files = sorted(evaluation.glob("*.json"), key=lambda f: (order.index(f.stem) if f.stem in order else 9, f.stem))
    if not files:
        raise PipelineError(f"{evaluation} holds no figures; run `uv run dvc repro evaluate`")
    return {key: entry for file in files for key, entry in read_json(file).items()}


def _baselines(evaluation: Path, folder: Path, corpus: str) -> Baselines:
    ours = result_path(evaluation / "sae_bench" / "sparse_probing", "sae")
    seed, world = folder / "sparse_probing_vanilla_sae.json", folder / "sparse_probing_world.json"
    beside = (beside_seed(ours, seed), beside_world(ours, world)) if ours.exists() else ([], {})
    refits = read_json(folder / "refits_world.json") if corpus == "world" else {}
    return Baselines(seed_metrics(seed), seed_caveats(seed), *beside, refits)


def _cell(folder: Path) -> Cell:
    sweep = read_json(folder / "sweep.json")
    return Cell(read_json(folder / "edit.json"), sweep["candidates"], sweep["area"])


def versions() -> dict[str, str]:
    """Python and the packages that shape the numbers."""
    return {"Python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


class Made(NamedTuple):
    """By which run, when and from which state of the code a page was made; ``commit`` is empty outside git."""

    run: str
    date: str
    commit: str


def made_now(run: str, root: Path) -> Made:
    """The run's name as it is, today's date, and git's commit with a word on what is not committed."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=, changed since", "--exclude=*"],
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):  # a clone without .git, a machine without git
        said = ""
    return Made(run, datetime.date.today().isoformat(), said)


def hashes(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of the files that are there, by path."""
    return {str(path): _sha256(path) for path in files if path.exists()}


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
