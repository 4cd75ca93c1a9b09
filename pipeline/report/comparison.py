"""Finished runs side by side: the folders that `experiment.py` leaves, and tables over them as rows of plain values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.yaml_text import read_yaml
from pipeline.report.evidence import Evidence, Figures
from pipeline.report.methods import FAMILIES, absent, in_order, kind_of

_SAE = ("explained_variance", "l0", "dead_share", "ce_loss_recovered", "spliced_cloze")
_TREE = ("groups", "stability_ari", "stability_null", "coherence_lift")
_FORGETTING = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop", "perplexity_ratio")
_SWEPT = ("forget_choice", "forget_cloze", "sibling_drop", "other_drop", "objective")


@dataclass(frozen=True)
class Run(Figures):
    """A finished run; ``curves`` are those of report/curves.json, empty where there is none."""

    name: str
    params: dict[str, Any]
    curves: dict[str, Any]

    def levels(self) -> list[str]:
        return [level for level in self.params["corpus"]["levels"] if self.methods(level)]

    def target(self, level: str) -> str:
        """As a path; of a run made before curves.json held it, what params.yaml names."""
        named = self.params.get("unlearning", {}).get("targets", {}).get(level, "")
        return " / ".join(self.curves.get("targets", {}).get(level, [str(named)]))

    def candidates(self, method: str, level: str) -> list[dict[str, Any]]:
        return self.curves.get("sweeps", {}).get(f"{method}/{level}", [])

    def setting(self, method: str, level: str) -> dict[str, Any]:
        return {}


def curves(evidence: Evidence) -> dict[str, Any]:
    """Content of ``report/curves.json``, which travels with a run: training, snapshots of the tree, targets, dev sweeps
    by ``<method>/<level>``."""
    return {
        "training": evidence.training["curves"],
        "snapshots": evidence.training["snapshots"],
        "targets": evidence.corpus["targets"],
        "sweeps": {
            f"{method}/{level}": [{name: row[name] for name in _SWEPT} for row in cell.candidates]
            for (method, level), cell in evidence.cells.items()
        },
    }


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Every run in the order of its number; a folder that is no run is refused with a sentence."""
    return [read_run(folder) for folder in sorted(folders, key=lambda f: _natural(f.name))]


def read_run(folder: Path) -> Run:
    """One run's folder."""
    if not (folder / "final_info.json").exists():
        raise PipelineError(f"{folder} holds no final_info.json; name folders of finished runs, such as run_7")
    curves = folder / "report" / "curves.json"
    return Run(
        entries=read_json(folder / "final_info.json"),
        name=folder.resolve().name,
        params={key: of for key, of in read_yaml(folder / "params.yaml").items() if key != "name"},
        curves=read_json(curves) if curves.exists() else {},
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


# --- tables -----------------------------------------------------------------------------------------------------------


def comparison(runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """Title -> rows: what each run changed, what its edits did at every level, its dictionary, its tree.

    ``±`` is half a 95 % interval over the items of one run. A figure that a run did not compute is left empty.
    """
    content = {"what each run changed": what_changed(runs)}
    for level in levels(runs):
        content[f"forgetting one {level}"] = _forgetting(runs, level)
    content["not measured, and why"] = not_measured(runs)
    content["dictionary"] = _rows(runs, "sae", _SAE)
    content["hierarchy"] = _rows(runs, "hierarchy", _tree_names(runs))
    for prefix, (title, _) in FAMILIES.items():
        content[title] = _family(runs, prefix)
    return {title: rows for title, rows in content.items() if rows}


def what_changed(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of each run, the settings that differ from the run before it in the list."""
    rows = [{"run": run.name, "setting": "", "before": "", "now": ""} for run in runs[:1]]
    for before, run in pairwise(runs):
        found = changes(before.params, run.params) or {"nothing": ("", "")}
        for k, (name, (old, new)) in enumerate(found.items()):
            rows.append({"run": "" if k else run.name, "setting": name, "before": str(old), "now": str(new)})
    return rows


def figure(run: Run, key: str, name: str) -> str | None:
    """``0.973 ± 0.004``; None where the run has no such figure."""
    digits = 1 if name.endswith("_drop") or name == "l0" else 0 if name.startswith("groups") else 3
    return run.written(key, name, digits)


def as_markdown(content: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The tables one below the other, each under its title."""
    parts = []
    for title, rows in content.items():
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * len(names) + "|"]
        lines += [f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in rows]
        parts.append("\n".join([f"### {title[0].upper()}{title[1:]}", "", *lines]))
    return "\n\n".join(parts)


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def _tree_names(runs: Sequence[Run]) -> list[str]:
    """Figures of the whole tree, then those of its cuts, the finest cut first: there groups are most alike."""
    known = list(dict.fromkeys(name for run in runs for name in run.means("hierarchy")))
    whole = [name for name in known if "_level_" not in name]
    cuts = sorted({name.rsplit("_", 1)[1] for name in known if "_level_" in name}, reverse=True)
    return [*whole, *(f"{name}_level_{cut}" for cut in cuts for name in _TREE)]


def _rows(runs: Sequence[Run], key: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """One row a figure, one column a run."""
    rows = [{"figure": name} | {run.name: figure(run, key, name) for run in runs} for name in names]
    return [row for row in rows if any(row[run.name] for run in runs)]


def _forgetting(runs: Sequence[Run], level: str) -> list[dict[str, Any]]:
    """One row a method and run, so that the runs of one method stand below each other; category by category."""
    known = dict.fromkeys(method for run in runs for method in run.methods(level))
    return [
        {"kind": kind_of(method), "method": method, "run": run.name}
        | {name: figure(run, f"unlearning/{method}/{level}", name) for name in _FORGETTING}
        for method in in_order(list(known))
        for run in runs
        if method in run.methods(level)
    ]


def not_measured(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of every run, the methods that another run has on a level and it has not, with the reason."""
    rows = []
    for level in levels(runs):
        anywhere = {method for run in runs for method in run.methods(level)}
        for run in runs:
            reasons = absent(run.methods(level), level, run.params.get("unlearning", {}))
            missing = {method: why for method, why in reasons.items() if method in anywhere}
            for why in dict.fromkeys(missing.values()):
                names = ", ".join(method for method, reason in missing.items() if reason == why)
                rows.append({"run": run.name, "level": level, "methods": names, "why": why})
    return rows


def _family(runs: Sequence[Run], prefix: str) -> list[dict[str, Any]]:
    """One row an entry of the family and run."""
    keys = [key for key in dict.fromkeys(key for run in runs for key in run.entries) if key.startswith(f"{prefix}/")]
    names = list(dict.fromkeys(name for key in keys for run in runs for name in run.means(key)))
    return [
        {"": key.split("/", 1)[1], "run": run.name} | {name: figure(run, key, name) for name in names}
        for key in keys
        for run in runs
        if run.means(key)
    ]
