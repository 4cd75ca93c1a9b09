"""An edit with its sweep and its test figures; a run with its figures and times."""

from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.inspection.trees import Grove

_SHOWN = ("forget_mcq", "forget_cloze", "sibling_drop", "other_drop", "general_drop", "perplexity_ratio")
_LEFT_OUT = ("general_drop", "perplexity_ratio")  # of a candidate; sweep.json has them


def edit(name: str, unlearning: Path, evaluation: Path, grove: Grove) -> dict[str, Any]:
    """What an edit does, which candidates it was chosen from, and what it did on the test split."""
    if not (unlearning / name / "edit.json").exists():
        known = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in unlearning.glob("*/*/edit.json"))
        there = ", ".join(known) or "none yet; run `uv run dvc repro unlearn`"
        raise PipelineError(f"there is no edit {name!r}; there are {there}")
    about, sweep = read_json(unlearning / name / "edit.json"), read_json(unlearning / name / "sweep.json")
    file = evaluation / "unlearning.json"
    entry = read_json(file).get(f"unlearning/{name}") if file.exists() else None
    return {
        "edit": name,
        "target": " / ".join(about["target"]),
        "layer": about["layer"],
        "guarded": about["guard_bias"] is not None,
        **{f"setting {key}": value for key, value in about["settings"].items()},
        "seconds": sweep["seconds"],
        "groups": [
            {"latents": len(group), "words": _words(grove, group), "which": " ".join(map(str, group))}
            for group in about["groups"]
        ],
        "on the test split": _figures(entry) if entry else "not evaluated yet; run `uv run dvc repro evaluate`",
        "best candidates on dev": [
            {name: value for name, value in row.items() if name not in _LEFT_OUT}
            for row in sorted(sweep["candidates"], key=lambda row: row["objective"])[:8]
        ],
    }


def cut_alone(number: int, scale: str | None, evaluation: Path) -> dict[str, Any]:
    """What clamping one group of the default tree does by itself, where the stage ``evaluate`` measured it."""
    file = evaluation / "tree" / "cutting.json"
    measured = {row["node"]: row for row in read_json(file)["nodes"]} if file.exists() and scale is None else {}
    if number not in measured:
        return {"cutting it alone": "not measured (`evaluation.cut_nodes` of the default tree are)"}
    row = measured[number]
    worst = [{"place": " / ".join(w["place"]), "points lost": w["drop"], "probes": w["probes"]} for w in row["worst"]]
    return {
        "cutting it alone, points of cloze lost over all probes": row["all"],
        "by target": [{"level": level, **lost} for level, lost in row["of_target"].items()],
        "places that lose most": worst,
    }


def run(folder: Path) -> dict[str, Any]:
    """The figures of a run's folder and what its stages took."""
    if not (folder / "final_info.json").exists():
        raise PipelineError(
            f"{folder} holds no final_info.json; give the folder of a run, or make it with "
            f"`uv run python experiment.py --out_dir={folder}`"
        )
    entries = read_json(folder / "final_info.json")
    edits = [
        {"method": key.split("/", 1)[1], **{name: entry["means"].get(name) for name in _SHOWN}}
        for key, entry in entries.items()
        if key.startswith("unlearning/")
    ]
    others = {key: _figures(entry) for key, entry in entries.items() if not key.startswith("unlearning/")}
    times = [read_json(path) for path in sorted((folder / "times").glob("*.json"))]
    return {"run": str(folder), "unlearning": edits, **others, "times": times}


def _words(grove: Grove, latents: list[int], most: int = 4) -> str:
    """The words of a group's first latents."""
    return "; ".join(filter(None, map(grove.latent_words, latents[:most])))


def _figures(entry: dict[str, Any]) -> dict[str, str]:
    """Means with half a 95 % interval."""
    interval = {name: f" ± {1.96 * error:.2g}" for name, error in entry["stderrs"].items()}
    return {name: f"{value:.4g}{interval.get(name, '')}" for name, value in entry["means"].items()}
