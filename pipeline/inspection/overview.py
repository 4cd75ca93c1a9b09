"""All that there is in data/: which stage wrote what, how large it is, and what to look at next."""

import fcntl
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, read_jsonl
from pipeline.core.yaml_text import read_yaml

# What each stage leaves in data/, in the order of the stages.
OUTPUTS = {
    "params": ("params.yaml",),
    "prepare": ("corpus", "model"),
    "cache_activations": ("activations.zarr",),
    "train_sae": ("sae",),
    "encode_features": ("features.zarr",),
    "correlate": ("correlation.zarr",),
    "build_dendrogram": ("dendrogram",),
    "unlearn": ("unlearning",),
    "evaluate": ("evaluation",),
    "report": ("report", "final_info.json", "metrics.json"),
}


def need(data: Path, *names: str) -> None:
    """Refuse a question about what no stage has written yet, with the command that writes it."""
    for name in names:
        if not (data / name).exists():
            stage = next(stage for stage, outputs in OUTPUTS.items() if name in outputs)
            raise PipelineError(f"{data / name} is missing; run `uv run dvc repro {stage}`")


def at_work(data: Path) -> str | None:
    """The run that experiment.py makes in ``data`` now: what its stages have not written yet is of the run before."""
    selected = data / "run"
    if not selected.exists():
        return None
    with selected.open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # experiment.py keeps it until it ends
            return lock.read().strip()
        except OSError:  # a file system without locks: nobody can tell
            return None
    return None


def overview(data: Path) -> dict[str, Any]:
    """Every stage with its outputs, their size and its summary, then commands to try."""
    stages = [_stage(data, stage, outputs) for stage, outputs in OUTPUTS.items()]
    if not any(row["MB"] for row in stages):
        raise PipelineError(f"{data} holds no output of a stage; run `uv run python experiment.py --out_dir=run_1`")
    return {"data": str(data), **_found(data), "stages": stages, "to try next": suggestions(data)}


def _found(data: Path) -> dict[str, str]:
    """The run whose results these are, and what it found in a sentence, once there is a report."""
    times, params = data / "times/report.json", data / "params.yaml"
    if at_work(data) or not times.exists() or not params.exists():
        return {}
    return {"run": read_yaml(params).get("name") or "params.yaml", "found": read_json(times)["summary"]}


def drawn_overview(content: Mapping[str, Any]) -> str:
    """For each stage a line and below it what it said, no wider than the terminal; a line for each command."""
    columns = shutil.get_terminal_size().columns
    lines = [f"{content['run']}: {content['found']}", ""] if "found" in content else []
    lines.append(f"{content['data']} holds, stage by stage:")
    for row in content["stages"]:
        lines.append(f"  {row['stage']:17}  {row['wrote']:35}  {_in_units(row['MB']):>11}")
        lines += textwrap.wrap(row["in short"], columns, initial_indent=" " * 6, subsequent_indent=" " * 6)
    wide = max(len(row["command"]) for row in content["to try next"])
    tries = [f"  {row['command']:{wide}}  # {row['shows']}" for row in content["to try next"]]
    return "\n".join([*lines, "", "To try next:", *tries])


def suggestions(data: Path) -> list[dict[str, str]]:
    """Commands that have an answer here, each with what it shows."""
    door, found = "uv run python -m pipeline", []

    def suggest(command: str, shows: str, *needed: str) -> None:
        if all((data / name).exists() for name in needed):
            found.append({"command": command, "shows": shows})

    if not all((data / name).exists() for outputs in OUTPUTS.values() for name in outputs):
        suggest("uv run dvc repro", "makes what is missing")
    suggest(str(data / "report/index.html"), "the report; open it in a browser", "report")
    if prompt := _prompt(data):
        suggest(f'{door} ask "{prompt}"', "how the model goes on, before and after each edit", "unlearning")
    suggest(f"{door} inspect corpus", "the nodes that `unlearning.targets` can name: what could be forgotten", "corpus")
    for edit in sorted((data / "unlearning").glob("*/*/edit.json"))[:1]:
        suggest(f"{door} inspect edit {edit.parent.parent.name}/{edit.parent.name}", "one edit", "dendrogram")
    suggest(f"{door} inspect dendrogram --level 2", "the tree of latents", "dendrogram")
    for kind, number in _first_merge(data / "dendrogram").items():
        suggest(f"{door} inspect {kind} {number}", f"one {kind} of the tree", "model", "sae", "features.zarr")
    suggest(f"{door} inspect sae", "the dictionary", "sae")
    suggest(f"{door} inspect activations", "the activation store", "activations.zarr", "model")
    return found


def _prompt(data: Path) -> str | None:
    """The first question of the corpus about a target; none where its quotes would need care in a shell."""
    targets, probes = data / "unlearning/targets.json", data / "corpus/probes.jsonl"
    if not targets.exists() or not probes.exists():
        return None
    paths = list(read_json(targets).values())
    asked = (probe for probe in read_jsonl(probes) if any(probe["path"][: len(path)] == path for path in paths))
    return next((probe["prompt"] for probe in asked if not set(probe["prompt"]) & set('"$`\\\n')), None)


def _stage(data: Path, stage: str, outputs: tuple[str, ...]) -> dict[str, Any]:
    row = {"stage": stage, "wrote": " ".join(outputs)}
    missing = [name for name in outputs if not (data / name).exists()]
    if missing:
        return row | {"MB": None, "in short": f"{' '.join(missing)} missing; `uv run dvc repro {stage}`"}
    times = data / "times" / f"{stage}.json"
    summary = read_json(times)["summary"] if times.exists() else ""
    return row | {"MB": round(sum(_size(data / name) for name in outputs) / 1e6, 3), "in short": summary}


def _in_units(megabytes: float | None) -> str:
    if megabytes is None:
        return "-"
    return f"{megabytes:,.1f} MB" if megabytes >= 1 else f"{1e3 * megabytes:.0f} kB"


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def _first_merge(dendrogram: Path) -> dict[str, int]:
    """The two latents that are most alike, as the number of their group and of one of them."""
    if not dendrogram.exists():
        return {}
    from pipeline.tree.feature_tree import load_tree

    tree = load_tree(dendrogram)
    return {"group": tree.n_leaves, "feature": int(tree.latents[int(tree.linkage[0, 0])])}
