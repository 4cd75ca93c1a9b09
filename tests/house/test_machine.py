"""Section `machine` shapes no bytes, so a change there reruns nothing: asked of DVC itself, key by key.

The project has the real dvc.yaml with its parameters and data, params.yaml and the real `params` stage; the other
stages only touch what they would write.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.core.processes import MachineSettings
from pipeline.core.yaml_text import as_yaml, read_yaml
from tests.support.settings import ROOT, recommended

OTHER = {"device": "cpu", "cache_arithmetic": "auto", "cache_scheduler": "tcp://10.0.0.1:8786"}
OTHER |= {"correlation_scheduler": "processes"}
# Resolve each change and ask which stages it makes stale.
ASK = """
import json, sys
from pathlib import Path
from dvc.repo import Repo
from pipeline.core.yaml_text import as_yaml
from stages import params

stale = []
Path("data/run").write_text("changed\\n")  # the report names its run, so another name would make it stale
Path("runs/changed.yaml").write_text("run: {seed: 0}\\n")
with Repo(".", config={"core": {"no_scm": True}}) as repo:
    repo.reproduce()
    for change in json.loads(sys.argv[1]):
        Path("runs/changed.yaml").write_text(as_yaml(change))
        params.main()
        stale.append([name for name in repo.status() if name != "params"])
print(json.dumps(stale))
"""


def stale_after(folder: Path, changes: list[dict[str, Any]]) -> list[list[str]]:
    """What DVC would run again after each of the changes to a finished project."""
    for name in ("stages", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "runs").mkdir()
    shutil.copytree(ROOT / "data/baselines", folder / "data/baselines")
    stages = {name: touching(name, stage) for name, stage in read_yaml(ROOT / "dvc.yaml")["stages"].items()}
    (folder / "dvc.yaml").write_text(as_yaml({"stages": stages}))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-c", ASK, json.dumps(changes)]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def touching(name: str, stage: dict[str, Any]) -> dict[str, Any]:
    """The stage with its data and parameters, and a command that leaves files in place of results."""
    if name == "params":
        return stage
    files = [out if Path(out).suffix == ".json" else f"{out}/x" for out in stage["outs"]]
    folders = " ".join(sorted({str(Path(file).parent) for file in files}))
    deps = [path for path in stage["deps"] if path.startswith("data/")]
    written = " && ".join(f"echo {name} > {file}" for file in files)
    inside = [path for path in deps if path.startswith("data/corpus/")]  # `prepare` writes what others name one by one
    return {**stage, "cmd": f"mkdir -p {folders} && {written}", "deps": sorted({*deps} - {*inside})}


def test_a_change_of_the_machine_makes_no_stage_stale(tmp_path: Path) -> None:
    machine = recommended(MachineSettings).plain()
    others = {key: OTHER.get(key) or 2 * value for key, value in machine.items()}
    changes = [{"machine": {key: value}} for key, value in others.items()]
    controls = {
        "prepare": {"run": {"seed": 1}},
        "train_sae": {"sae": {"k": 8}},
        "report": {"report": {"shown_nodes": 9}},
    }
    stale = stale_after(tmp_path, [*changes, *controls.values()])
    assert dict(zip(others, stale, strict=False)) == {key: [] for key in machine}
    for stage, found in zip(controls, stale[len(changes) :], strict=True):
        assert stage in found, "DVC sees a change that matters"


def test_no_stage_lists_the_machine() -> None:
    for name, stage in read_yaml(ROOT / "dvc.yaml")["stages"].items():
        listed = [key for entry in stage.get("params", []) for key in entry["data/params.yaml"]]
        assert "machine" not in listed, name
