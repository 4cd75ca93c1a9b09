"""All that the report speaks of, read once."""

from pathlib import Path
from typing import Any, NamedTuple

from pipeline.evaluation.saebench.baseline import Beside, beside_seed, beside_world, seed_caveats, seed_metrics
from pipeline.evaluation.saebench.results import result_path
from pipeline.files import read_json
from pipeline.report.final_info import read_entries


class Cell(NamedTuple):
    """One method on one target: its edit and its dev sweep."""

    edit: dict[str, Any]
    candidates: list[dict[str, Any]]

    @property
    def objective(self) -> float:
        """The dev objective of the edit that was kept; 0 is perfect."""
        return min(row["objective"] for row in self.candidates)


class Baselines(NamedTuple):
    """What this run's sparse probing stands beside.

    ``seed`` are the seed's figures as they are, ``caveats`` what to know of them, ``beside`` this run's and the seed's
    where this run has some; ``world`` are the means of vanilla dictionaries where it probes the embedded world's data.
    """

    seed: dict[str, float]
    caveats: list[str]
    beside: list[Beside]
    world: dict[str, dict[str, float]]


class Evidence(NamedTuple):
    """``entries`` are final_info's keys with means, stderrs and values; ``cells`` by (method, level)."""

    entries: dict[str, dict[str, Any]]
    cells: dict[tuple[str, str], Cell]
    sae_bench: dict[str, Any]
    baselines: Baselines
    corpus: dict[str, Any]
    groups: dict[str, Any]  # of the default tree
    cutting: dict[str, Any]  # what cutting single nodes of it does; empty where it was not measured
    stability: dict[str, dict[str, Any]]  # by scale
    training: dict[str, Any]
    sae: dict[str, Any]  # cfg.json
    times: list[dict[str, Any]]
    params: dict[str, Any]

    def means(self, key: str) -> dict[str, float]:
        """The means of one entry; empty where it was not computed."""
        return self.entries.get(key, {}).get("means", {})

    def stderrs(self, key: str) -> dict[str, float]:
        return self.entries.get(key, {}).get("stderrs", {})

    def levels(self) -> list[str]:
        """The levels that have a target, from the coarsest."""
        return [level for level in self.corpus["levels"] if level in self.corpus["targets"]]

    def cuts(self) -> list[float]:
        """The correlations at which the default tree is cut, the coarsest first."""
        return [cut["correlation"] for cut in self.groups["cuts"]]

    def methods(self, level: str) -> list[str]:
        """The methods that were measured on a level's target."""
        keys = [key.split("/", 2) for key in self.entries if key.startswith("unlearning/")]
        return [method for _, method, of_level in keys if of_level == level]


def read_evidence(
    evaluation: Path,
    unlearning: Path,
    dendrogram: Path,
    sae: Path,
    corpus: Path,
    times: list[Path],
    baselines: Path,
    params: dict[str, Any],
) -> Evidence:
    """Read what the stages wrote; an evaluation without sae-bench has none of its figures. ``params``: all of them."""
    summary, cutting = evaluation / "sae_bench" / "summary.json", evaluation / "tree" / "cutting.json"
    return Evidence(
        read_entries(evaluation),
        {(path.parent.parent.name, path.parent.name): _cell(path.parent) for path in unlearning.glob("*/*/edit.json")},
        read_json(summary) if summary.exists() else {},
        _baselines(evaluation, baselines),
        read_json(corpus / "corpus.json") | {"targets": read_json(unlearning / "targets.json")},
        read_json(dendrogram / "groups.json"),
        read_json(cutting) if cutting.exists() else {},
        {scale: read_json(dendrogram / scale / "stability.json") for scale in ("token", "document")},
        read_json(sae / "training.json"),
        read_json(sae / "cfg.json"),
        [read_json(path) for path in times],
        params,
    )


def _baselines(evaluation: Path, folder: Path) -> Baselines:
    ours = result_path(evaluation / "sae_bench" / "sparse_probing", "sae")
    seed, world = folder / "sparse_probing_vanilla_sae.json", folder / "sparse_probing_world.json"
    beside = (beside_seed(ours, seed), beside_world(ours, world)) if ours.exists() else ([], {})
    return Baselines(seed_metrics(seed), seed_caveats(seed), *beside)


def _cell(folder: Path) -> Cell:
    return Cell(read_json(folder / "edit.json"), read_json(folder / "sweep.json")["candidates"])
