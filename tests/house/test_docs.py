"""Every command of README.md, docs/ and the studies' pages, their Python, the notebook: as they stand, on a small run.

What takes longer than a minute, or needs what a test has not, stands in docs/benchmarks.md with its date and duration.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.yaml_text import read_yaml
from pipeline.params import Params, resolve
from studies.tables import PAGES
from tests.support.small_run import small_run

ROOT = Path(__file__).resolve().parents[2]
LISTED = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
RUNNABLE = [  # docs/develop.md shows a module, which test_develop.py runs
    block
    for page in ("README.md", "docs/methods.md")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
]
COMMAND = re.compile(r"(?:uv run|python -m) [^`\n]+")


def commands() -> list[str]:
    """Every command in a block or a pair of backquotes, without comments, each once."""
    found: dict[str, None] = {}
    for page in PAGES:
        for line in COMMAND.findall(page.read_text(encoding="utf-8")):
            found[line.split("#")[0].split("&&")[-1].strip()] = None
    return list(found)


def listed() -> list[str]:
    """The commands that are listed as long, or as in need of a network, a GPU or an account."""
    return re.findall(r"`(uv run [^`]+)`", LISTED.replace("\n", " "))


LONG = {command.removeprefix("uv run ").removeprefix("python ") for command in listed()}
ELSEWHERE = {"dvc repro": "house/test_experiment.py"}  # run by another test, on a project in miniature
PLAIN = [command.removeprefix("uv run ").removeprefix("python ") for command in commands()]
QUICK = sorted(set(PLAIN) - LONG - ELSEWHERE.keys())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with the code and the pages beside it, as in a clone."""
    folder = small_run(tmp_path_factory.mktemp("clone"), "run_7")
    for name in ("pipeline", "stages", "studies", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "plot.py", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


def run(project: Path, *arguments: str, where: str = ".", **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project / where, env=own, capture_output=True, text=True)


def test_every_long_command_has_its_date_and_duration() -> None:
    rows = [line for line in LISTED.splitlines() if line.startswith("| `uv run")]
    assert len(rows) >= 5
    for row in rows:
        figures, date, duration = (cell.strip() for cell in row.strip("|").split("|")[1:])
        assert duration and (re.fullmatch(r"20\d\d-\d\d-\d\d", date) or figures == "none"), row


def test_what_runs_elsewhere_does() -> None:
    for command, file in ELSEWHERE.items():
        assert command in PLAIN
        assert all(f'"{word}"' in (ROOT / "tests" / file).read_text(encoding="utf-8") for word in command.split())


@pytest.mark.parametrize("command", QUICK)
def test_every_other_command_runs(project: Path, command: str) -> None:
    words = shlex.split(command)
    if words[:3] == ["-m", "pipeline", "inspect"] and words[3:4] in (["group"], ["feature"]):
        merges = np.load(project / "data/dendrogram/linkage.npy")
        words[4] = str(2 * len(merges)) if words[3] == "group" else "12"  # the small tree has other numbers
    runs = [str(path.relative_to(project)) for word in words if "*" in word for path in sorted(project.glob(word))]
    words = [word for word in words if "*" not in word] + runs
    done = run(project, *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() or "studies" in command, "it prints nothing"


def test_json_is_json(project: Path) -> None:
    for what in (["dendrogram", "--level", "2"], ["sae"], ["run", "run_7"], ["edit", "subtree/topic"]):
        assert json.loads(run(project, "-m", "pipeline", "inspect", *what, "--json").stdout)


@pytest.mark.parametrize("block", RUNNABLE, ids=range(len(RUNNABLE)))
def test_python_runs_as_it_stands(project: Path, block: str) -> None:
    done = run(project, "-c", block)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_overlay_of_a_users_own_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs/your-model.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    assert read_yaml(tmp_path / "mine.yaml")["corpus"]["probes"]
    assert isinstance(resolve(ROOT / "params.yaml", tmp_path, "mine")[0], Params)


# --- the notebook ----------------------------------------------------------------------------------------------------

NOTEBOOK = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
# Its clamp against the project's own: the same logits on the same text, with latents that do fire there.
SAME = """
import sys
sys.path.insert(0, "..")
from pipeline.unlearning.apply import unlearned
from pipeline.unlearning.edit import load_edit, save_edit
loud, values = torch.from_numpy(np.argsort(-counts)[:2].copy()), torch.tensor([-1.0, -2.0])
chosen = {"latents": loud, "values": values, "factors": torch.tensor([0.0, 0.5])}
save_edit(Path("edit"), load_edit(FOLDER)._replace(**chosen, groups=(tuple(loud.tolist()),)))
numbers.update(chosen)
fresh = AutoModelForCausalLM.from_pretrained(DATA / "model").eval()
inputs = tokenizer(asked[0]["prompt"] + " " + probes[0]["prompt"], return_tensors="pt")
with torch.no_grad():
    with unlearned(fresh, "edit", DATA / "sae"):
        ours = fresh(**inputs).logits
    untouched = fresh(**inputs).logits
    hook = fresh.model.layers[edit["layer"]].register_forward_hook(clamp)
    theirs = fresh(**inputs).logits
    hook.remove()
assert (ours - untouched).abs().max() > 1e-4, "the clamp does nothing here"
torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
for name, tensor in weights.items():
    assert torch.equal(model.state_dict()[name], tensor)
"""


def test_the_notebook_imports_nothing_of_ours() -> None:
    imported = set(re.findall(r"(?m)^(?:from|import) (\w+)", "\n".join(CODE)))
    assert imported == {"json", "pathlib", "dask", "numpy", "torch", "zarr", "safetensors", "scipy", "transformers"}


def test_the_notebook_runs_and_its_clamp_is_the_projects(project: Path) -> None:
    done = run(project, "-c", "\n\n".join([*CODE, SAME]), where="docs")
    assert done.returncode == 0, done.stderr[-2000:]
    for said in ("bfloat16", "groups of two or more", "answered before", "tensors replaced"):
        assert said in done.stdout


def test_finished_edits_are_not_made_again(project: Path) -> None:
    """The seconds of every sweep are those of the first call, which a second choice would not repeat."""
    sweeps = {path: path.read_bytes() for path in (project / "data/unlearning").rglob("sweep.json")}
    done = run(project, "-m", "stages.unlearn")
    assert done.returncode == 0, done.stderr[-2000:]
    assert sweeps and {path: path.read_bytes() for path in sweeps} == sweeps
