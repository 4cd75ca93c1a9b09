"""experiment.py on a miniature project: which configuration, what reruns, what happens when it is killed or fails.

The miniature has the real experiment.py, params stage and settings, and two stand-in stages: `count` writes ten files
slowly and resumably, `report` sums them up. Every call is made as by a stranger: from another folder, with an empty
home (no git identity), and without the virtual environment on PATH.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repository import drop_bad_lock_file

ROOT = Path(__file__).resolve().parents[2]

DVC_YAML = """
stages:
  params:
    cmd: exec python -m stages.params
    always_changed: true
    deps: [params.yaml, runs]
    outs: [data/params.yaml: {persist: true}]
  count:
    cmd: exec python -m stages.count
    deps: [stages/count.py]
    params: [{data/params.yaml: [run]}]
    outs: [data/numbers, data/times/count.json]
  report:
    cmd: exec python -m stages.report
    deps: [stages/report.py, data/numbers]
    params: [{data/params.yaml: [world]}]
    outs: [data/final_info.json, data/report, data/times/report.json]
"""

COUNT = """
import os, time
from pathlib import Path
from pipeline.core.files import building
from pipeline.core.settings import RunSettings, read_section
from stages import PARAMS, run

def main():
    seed = read_section(PARAMS, RunSettings, "run").seed
    with building(Path("data/numbers"), seed) as folder:
        for i in range(10):
            if (folder / str(i)).exists():
                continue
            if i == 5 and Path("pause").exists():
                Path("paused").write_text(str(os.getpid()))
                time.sleep(60)
            (folder / str(i)).write_text(str(seed + i))
            with open("made.txt", "a") as made:
                made.write(f"{i}\\n")
    return "10 numbers"

if __name__ == "__main__":
    run("count", main)
"""

REPORT = """
from pathlib import Path
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_text
from pipeline.core.settings import read_section
from pipeline.corpus.settings import WorldSettings
from stages import PARAMS, run

def main():
    world = read_section(PARAMS, WorldSettings, "world")
    domains = world.domains
    if world.entities_per_topic == 60:
        raise PipelineError("sixty entities are too many; lower world.entities_per_topic")
    if world.entities_per_topic == 61:
        raise KeyError("unforeseen")
    total = sum(int(file.read_text()) for file in Path("data/numbers").iterdir()) * domains
    write_json(Path("data/final_info.json"), {"sum": {"means": {"total": total}, "stderrs": {}, "final_info_dict": {}}})
    write_text(Path("data/report/index.html"), f"<p>{total}</p>")
    return f"total {total}"

if __name__ == "__main__":
    run("report", main)
"""

# The real module asks the hub and the disk; the miniature has nothing to ask for.
SOURCES = """
def check_sources(corpus, model, revision):
    pass

def local_files(corpus):
    return []

is_folder = None
"""


def make_project(folder: Path) -> Path:
    """The miniature project, without .git."""
    programs = ("experiment.py", "repository.py", "stages/__init__.py", "stages/params.py")
    for name in (*programs, ".dvc/config", ".dvcignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    write(folder / "pipeline/corpus/sources.py", SOURCES)
    write(folder / "pipeline/language_model/checks.py", "check_model = home = layer_count = None\n")
    write(folder / "dvc.yaml", DVC_YAML)
    write(folder / "stages/count.py", COUNT)
    write(folder / "stages/report.py", REPORT)
    text = (
        (ROOT / "params.yaml")
        .read_text()
        .replace("  seed: 0 ", "  seed: 1 ")
        .replace("  domains: 4\n", "  domains: 2\n")
    )
    write(folder / "params.yaml", text)
    write(folder / "runs/run_1.yaml", "world: {domains: 3}\n")
    write(folder / "data/README.md", "")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def start(project: Path, *arguments: str, **options: bool) -> subprocess.Popen:
    """experiment.py as a stranger starts it: from the folder above, environment not activated, nothing configured."""
    home = project.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(project / "experiment.py"), *arguments],
        cwd=project.parent,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "SHELL": "/bin/false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


class Outcome:
    """Exit code and lines of a finished call."""

    def __init__(self, process: subprocess.Popen) -> None:
        out, err = process.communicate(timeout=120)
        self.code, self.out, self.err = process.returncode, out.splitlines(), err.splitlines()


def call(project: Path, out_dir: str) -> Outcome:
    return Outcome(start(project, f"--out_dir={out_dir}"))


def total(run: Path) -> int:
    return json.loads((run / "final_info.json").read_text())["sum"]["means"]["total"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which run_1 has been made; tests take copies of it."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    outcome = call(project, "run_1")
    assert outcome.code == 0, outcome.err
    write(project / "first.json", json.dumps(outcome.out))
    return project


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "project")


def test_first_call_applies_the_overlay_and_exports(finished: Path) -> None:
    lines = json.loads((finished / "first.json").read_text())
    assert lines[0] == "configuration of run_1: params.yaml, with runs/run_1.yaml applied"
    assert "run_1: ran count, report" in lines
    run = finished.parent / "run_1"  # relative to the caller's folder, not to the project
    assert sorted(path.name for path in run.iterdir()) == [
        "dvc.lock",
        "final_info.json",
        "params.yaml",
        "report",
        "times",
    ]
    assert total(run) == 3 * (10 + 45)
    assert "domains: 3" in (run / "params.yaml").read_text()
    assert json.loads((run / "times/count.json").read_text())["machine"]["threads"] == 1, "what was in force"
    assert os.access(run / "report/index.html", os.W_OK)


def test_second_call_reruns_nothing_under_any_name(project: Path) -> None:
    shutil.copy(project / "runs/run_1.yaml", project / "runs/twin.yaml")
    outcome = call(project, "results/twin")
    assert outcome.out[0] == "configuration of twin: params.yaml, with runs/twin.yaml applied"
    assert "twin: nothing reran" in outcome.out
    assert total(project.parent / "results/twin") == 165


def test_a_changed_key_reruns_only_what_follows_and_going_back_restores(project: Path) -> None:
    changed = call(project, "run_8")
    assert changed.out[0] == "configuration of run_8: params.yaml as it is (there is no runs/run_8.yaml)"
    assert "run_8: ran report" in changed.out
    assert total(project.parent / "run_8") == 110
    back = call(project, "run_1")
    assert "run_1: nothing reran; restored from the cache: report" in back.out
    assert total(project.parent / "run_1") == 165


def test_killed_in_the_middle_it_resumes_without_a_second_writer(project: Path) -> None:
    write(project / "runs/run_2.yaml", "run: {seed: 2}\n")
    (project / "made.txt").unlink()
    (project / "pause").touch()
    first = start(project, "--out_dir=run_2")
    wait_for((project / "paused").exists)
    writer = int((project / "paused").read_text())
    busy = call(project, "run_1")
    assert busy.code == 1
    assert busy.err[-1] == "error: another experiment.py is running in this clone; wait for it or stop it"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    wait_for(lambda: ended(writer))
    (project / "pause").unlink()
    assert not (project.parent / "run_2").exists()
    second = call(project, "run_2")
    assert second.code == 0, second.err
    assert (project / "made.txt").read_text().split() == [str(i) for i in range(10)], "each number was made once"
    assert total(project.parent / "run_2") == 2 * (20 + 45)


def wait_for(condition) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited for half a minute in vain")


def ended(process: int) -> bool:
    """Gone, or a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(
    ("entities", "last_line"),
    [
        ("60", "error: sixty entities are too many; lower world.entities_per_topic"),  # foreseen by the stage
        ("61", "error: report failed with KeyError: 'unforeseen'"),  # a bug
        (
            "1",
            "error: runs/run_9.yaml: `world.entities_per_topic` is 1; it must be 2 or more",
        ),  # refused before any stage
    ],
)
def test_a_failure_leaves_no_run_and_ends_with_its_reason(project: Path, entities: str, last_line: str) -> None:
    write(project / "runs/run_9.yaml", f"world: {{entities_per_topic: {entities}}}\n")
    outcome = call(project, "run_9")
    assert outcome.code == 1
    assert outcome.err[-1] == last_line and outcome.err.count(last_line) == 1
    assert entities == "61" or all(line == last_line or line.startswith("[") for line in outcome.err), "said once"
    assert not (project.parent / "run_9").exists()
    assert any("Traceback" in line for line in outcome.err) == (entities == "61")


def test_a_reason_for_which_the_disk_had_no_room_is_not_repeated_empty(project: Path) -> None:
    stage = project / "stages/report.py"
    write(stage, 'import sys\nopen("data/error.txt", "w").close()\nsys.exit("error: the disk is full")\n')
    outcome = call(project, "run_1")
    assert outcome.code == 1
    assert [line for line in outcome.err if line.startswith("error")] == ["error: the disk is full"]


def test_a_refused_configuration_leaves_the_data_and_the_name_of_the_run_before(project: Path) -> None:
    assert call(project, "run_1").code == 0
    kept = {path: path.read_bytes() for path in (project / "data").rglob("*") if path.is_file()}
    write(project / "runs/run_9.yaml", "world: {domains: 1}\n")
    assert call(project, "run_9").code == 1
    for name in ("run", "params.yaml", "final_info.json", "numbers/3"):
        path = project / "data" / name
        assert path.read_bytes() == kept[path], name
    write(project / "runs/run_9.yaml", "world: {domains: 4}\n")
    assert call(project, "run_9").code == 0 and (project / "data/run").read_text() == "run_9\n"


def test_in_a_git_repository_without_a_commit_dvc_repro_agrees(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    write(project / ".gitignore", "/data/*\n!/data/README.md\n")
    assert "run_1: nothing reran" in call(project, "run_1").out
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", "repro"]
    repro = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert repro.returncode == 0, repro.stderr
    assert "Stage 'report' didn't change, skipping" in repro.stdout
    assert not (project / "data/.gitignore").exists()


def test_what_the_user_keeps_in_a_run_folder_stays(project: Path) -> None:
    run = project.parent / "run_1"
    write(run / "final_info.json", "{}")  # a run made before
    write(run / "notes.txt", "mine")
    assert call(project, "run_1").code == 0
    assert (run / "notes.txt").read_text() == "mine"
    assert total(run) == 165
    assert not list(project.parent.glob(".run_1*"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--out_dir=file"], "is not a folder that can be written to"),
        (["--out_dir=file/run_1"], "is not a folder that can be written to"),
        (["--out_dir=full"], "is not empty and holds no final_info.json"),
        (["--out_dir=project"], "is the project itself or in its data/"),
        (["--out_dir=project/data"], "is the project itself or in its data/"),  # it holds a final_info.json
        (["--out_dir=project/data/run_1"], "is the project itself or in its data/"),
        (["--out_dir=run_1", "--seed=1"], "unrecognized arguments: --seed=1"),
        (["--out=run_1"], "the following arguments are required: --out_dir"),  # no abbreviations
        ([], "the following arguments are required: --out_dir"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(tmp_path: Path, arguments: list[str], reason: str) -> None:
    write(tmp_path / "file", "kept")
    write(tmp_path / "full/thesis.tex", "kept")
    project = make_project(tmp_path / "project")
    outcome = Outcome(start(project, *arguments))
    assert outcome.code != 0
    assert reason in outcome.err[-1]
    assert not (project / "data/run").exists()
    assert (tmp_path / "file").read_text() == (tmp_path / "full/thesis.tex").read_text() == "kept"


def test_help_imports_nothing_heavy(root: Path) -> None:
    command = [sys.executable, "-X", "importtime", str(root / "experiment.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--out_dir" in done.stdout
    assert not [
        line for line in done.stderr.splitlines() if line.rsplit("|", 1)[-1].strip() in ("dvc", "torch", "yaml")
    ]


EVALUATE = """
import json
from pathlib import Path
from stages import run

def main():
    failed = {"unlearning": "the data set is\\ngated"} if Path("gated").exists() else {}
    place = Path("data/evaluation/sae_bench")
    place.mkdir(parents=True, exist_ok=True)
    (place / "summary.json").write_text(json.dumps({"failed": failed}))
    return "evaluated"

if __name__ == "__main__":
    run("evaluate", main)
"""


def test_an_eval_that_failed_costs_itself_only_and_is_tried_again(project: Path) -> None:
    """The results are there, the exit code tells, and the same command runs that stage again until it succeeds."""
    write(project / "stages/evaluate.py", EVALUATE)
    stage = "  evaluate: {cmd: exec python -m stages.evaluate, outs: [data/evaluation, data/times/evaluate.json]}\n"
    write(project / "dvc.yaml", DVC_YAML.rstrip() + "\n" + stage)
    write(project / "gated", "")
    first = call(project, "run_1")
    assert first.code == 3
    assert (project.parent / "run_1/final_info.json").exists()
    assert "sae-bench's unlearning failed: the data set is gated; all else is in" in first.err[-1]
    assert call(project, "run_1").code == 3, "still gated"
    (project / "gated").unlink()
    third = call(project, "run_1")
    assert third.code == 0 and any("ran evaluate" in line for line in third.out)
    assert any("nothing reran" in line for line in call(project, "run_1").out)


# ---- damage


def flip(path: Path) -> None:
    """One bit of the first byte, as a tool of root's writes it: in place, whatever the mode."""
    path.chmod(0o644)
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(bytes([content[0] ^ 1]))


def cached(project: Path, path: Path) -> Path:
    """The object of DVC's cache that holds what ``path`` should."""
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    return project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def test_damaged_data_is_restored_from_a_cache_that_it_did_not_reach(project: Path) -> None:
    numbers = [project / f"data/numbers/{i}" for i in (3, 5, 7)]
    kept = [cached(project, number) for number in numbers]
    flip(numbers[0])
    numbers[1].chmod(0o644)
    shutil.copyfile(project / "data/numbers/4", numbers[1])  # into the file that was there
    numbers[2].unlink()
    assert "run_1: nothing reran; restored from the cache: count" in call(project, "run_1").out
    assert [file.read_text() for file in (*numbers, *kept)] == ["4", "6", "8"] * 2


def test_what_the_cache_has_lost_is_made_again_from_the_data(project: Path) -> None:
    kept = cached(project, project / "data/numbers/3")
    flip(kept)
    kept.chmod(0o444)  # which DVC takes for proof
    assert call(project, "run_1").code == 0
    assert kept.read_text() == "4"


def test_an_object_damaged_behind_its_time_is_not_restored(project: Path) -> None:
    kept, before = cached(project, project / "data/numbers/3"), None
    before = kept.stat()
    flip(kept)
    kept.chmod(0o444)
    os.utime(kept, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.rmtree(project / "data/numbers")
    assert "run_1: ran count" in call(project, "run_1").out
    assert (project / "data/numbers/3").read_text() == kept.read_text() == "4"


def test_a_large_store_is_kept_once_and_its_damage_is_remade(project: Path) -> None:
    for name in ("dvc.yaml", "stages/count.py", "stages/report.py"):
        write(project / name, (project / name).read_text().replace("data/numbers", "data/features.zarr"))
    shutil.rmtree(project / ".dvc/cache")  # where the same numbers lie as copies
    assert call(project, "run_1").code == 0
    number = project / "data/features.zarr/3"
    assert number.stat().st_nlink == 2 and (project / "data/final_info.json").stat().st_nlink == 1
    flip(number)
    assert "run_1: ran count" in call(project, "run_1").out
    assert number.read_text() == cached(project, number).read_text() == "4"


@pytest.mark.parametrize(
    "cut",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\0" * len(text),
        lambda text: "<<<<<<< HEAD\n" + text,
        lambda text: text.replace("schema: '2.0'\n", ""),
        lambda text: "[]\n",
        lambda text: "schema: '2.0'\nstages: 7\n",
    ],
    ids=["empty", "half", "zeros", "conflict", "no schema", "a list", "no stages"],
)
def test_a_damaged_lock_file_is_known(finished: Path, tmp_path: Path, cut) -> None:
    whole = (finished / "dvc.lock").read_text()
    write(tmp_path / "dvc.lock", whole)
    assert drop_bad_lock_file(tmp_path / "dvc.lock") is None
    write(tmp_path / "dvc.lock", cut(whole))
    assert "dvc.lock was damaged" in drop_bad_lock_file(tmp_path / "dvc.lock")
    assert drop_bad_lock_file(tmp_path / "dvc.lock") is None, "it is gone"


def test_a_damaged_lock_file_costs_nothing(project: Path) -> None:
    whole = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text("")
    (project / ".dvc/tmp/rwlock").write_text("{")  # DVC's other file that a kill can cut
    outcome = call(project, "run_1")
    assert outcome.code == 0, outcome.err
    assert outcome.out[0] == "dvc.lock was damaged, as by a killed run, and is made anew from what the cache knows"
    assert any("nothing reran" in line for line in outcome.out)
    assert (project / "dvc.lock").read_text() == whole


def test_a_kill_while_the_lock_file_is_written_leaves_the_old_one(project: Path) -> None:
    kill = "import os, signal\nimport dvc.utils.serialize as s\ndumps = s.dumps_yaml\n"
    kill += "s.dumps_yaml = lambda content: os.kill(os.getpid(), signal.SIGKILL)\n"
    whole = (project / "dvc.lock").read_text()
    script = (project / "experiment.py").read_text()
    write(project / "experiment.py", script.replace("def main() -> None:", kill + "\n\ndef main() -> None:", 1))
    assert call(project, "run_8").code == -signal.SIGKILL
    assert (project / "dvc.lock").read_text() == whole
    write(project / "experiment.py", script)
    assert "run_8: ran report" in call(project, "run_8").out


# ---- what is said


@pytest.mark.parametrize("slip", ["rnu_1", "run1", "Run_1", "run-1", "run_01"])
def test_a_slip_of_a_planned_run_is_asked_about(project: Path, slip: str) -> None:
    outcome = call(project, slip)
    assert outcome.code == 1
    assert outcome.err == [
        f"error: there is no runs/{slip}.yaml; did you mean --out_dir=run_1? If not, choose a name less like it, or "
        f"add an empty runs/{slip}.yaml, to run params.yaml as it is"
    ]


def test_ctrl_c_is_one_line(project: Path) -> None:
    write(project / "runs/run_2.yaml", "run: {seed: 2}\n")
    (project / "pause").touch()
    process = start(project, "--out_dir=run_2", start_new_session=True)
    wait_for((project / "paused").exists)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to experiment.py and the stage
    outcome = Outcome(process)
    assert outcome.code == 1
    assert [line for line in outcome.err if not line.startswith("[")] == [
        "error: count was interrupted; the same command continues"
    ]


def test_a_place_that_only_seems_writable_is_refused(project: Path) -> None:
    """Root may write into /proc, by its mode."""
    assert "/proc is not a folder that can be written to" in call(project, "/proc/run_1").err[-1]
