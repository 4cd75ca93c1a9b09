"""The folders of finished runs, as `experiment.py` leaves them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.settings import read_yaml


class Run(NamedTuple):
    """``entries`` are those of final_info.json; ``curves`` those of report/curves.json, empty where there is none."""

    name: str
    entries: dict[str, dict[str, Any]]
    params: dict[str, Any]
    curves: dict[str, Any]

    def means(self, key: str) -> dict[str, float]:
        """The means of one entry; empty where the run did not compute it."""
        return self.entries.get(key, {}).get("means", {})

    def stderrs(self, key: str) -> dict[str, float]:
        return self.entries.get(key, {}).get("stderrs", {})

    def methods(self, level: str) -> list[str]:
        """The methods measured on the target of a level."""
        keys = [key.split("/") for key in self.entries if key.startswith("unlearning/")]
        return [method for _, method, of_level in keys if of_level == level]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Every run in the order of its number; a folder that is no run is refused with a sentence."""
    return [read_run(folder) for folder in sorted(folders, key=lambda f: _natural(f.name))]


def read_run(folder: Path) -> Run:
    """One run's folder."""
    if not (folder / "final_info.json").exists():
        raise PipelineError(f"{folder} holds no final_info.json; name folders of finished runs, such as run_7")
    curves = folder / "report" / "curves.json"
    return Run(
        folder.resolve().name,
        read_json(folder / "final_info.json"),
        read_yaml(folder / "params.yaml"),
        read_json(curves) if curves.exists() else {},
    )


def levels(runs: Sequence[Run]) -> list[str]:
    """The levels with a target in any of the runs, the coarsest first."""
    named = [level for run in runs for level in run.params["corpus"]["levels"]]
    return [level for level in dict.fromkeys(named) if any(run.methods(level) for run in runs)]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two configurations differ, by dotted name: what stood there, what stands there now.

    >>> changes({"sae": {"k": 16, "l1": 0}}, {"sae": {"k": 8, "l1": 0}})
    {'sae.k': (16, 8)}
    """
    old, new = dict(_flat(before)), dict(_flat(after))
    names = dict.fromkeys([*old, *new])
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in settings.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat


def _natural(name: str) -> list[Any]:
    """``run_10`` after ``run_9``."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]
