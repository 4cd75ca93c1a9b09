"""`python -m pipeline`: its commands answer `--help` at once, and however they end, it is in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import __main__ as door
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.inspection.scopes import find_scopes
from pipeline.scope import names
from pipeline.scope.retrievers import RETRIEVERS
from tests.support.import_graph import closure
from tests.support.report_files import PLANTED, write_all

COMMANDS = ("inspect", "ask", "scope", "compare", "export", "agreement")
SUBJECTS = ("corpus", "knowledge", "layers", "activations", "sae", "feature", "dendrogram", "group", "edit", "run")


def call(root: Path, where: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *words]
    environment = os.environ | {"PYTHONPATH": str(root)} | more
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made-up data/."""
    folder = tmp_path_factory.mktemp("place")
    write_all(folder / "data")
    return folder


def test_help_lists_every_command_and_every_subject(capsys: pytest.CaptureFixture[str]) -> None:
    for words, listed in (([], COMMANDS), (["--help"], COMMANDS), (["inspect", "--help"], SUBJECTS)):
        try:
            assert door.main(words) == 0
        except SystemExit as end:
            assert end.code == 0
        shown = capsys.readouterr().out
        assert all(f"\n    {name}" in shown for name in listed), shown


def test_help_loads_nothing_heavy() -> None:
    """All of them in one process: what it has loaded at the end, none of them has loaded."""
    code = f"""
import contextlib, io, sys
from pipeline.__main__ import main
for words in [[], ["--help"], *([name, "--help"] for name in {COMMANDS})]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(words)
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pipeline.__main__" in loaded
    assert not {"torch", "numpy", "transformers", "pydantic", "rich", "zarr", "dask"} & {*loaded}
    assert closure("pipeline.__main__", when_loaded=True) >= {"argparse", "pipeline.core.errors"}


def test_every_name_of_a_retriever_has_its_function() -> None:
    assert sorted([*names.RETRIEVERS, *names.CONTROLS]) == sorted(RETRIEVERS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspec"], "argument COMMAND: there is no `inspec`; did you mean `inspect`?"),
        (["inspect", "featur", "3"], "argument SUBJECT: there is no `featur`; did you mean `feature`?"),
        (["zzz"], "there is no `zzz`; known are agreement, ask, compare, export, inspect, scope"),
        (["scope", "text", "--retriever", "tre"], "there is no `tre`; did you mean `tree`?"),
    ],
)
def test_an_unknown_word_names_the_nearest(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        door.main(words)
    assert said in capsys.readouterr().err


def test_a_foreseen_error_is_one_sentence(root: Path, place: Path) -> None:
    wrong = call(root, place, "inspect", "edit", "nothing/topic")
    assert wrong.returncode == 1 and wrong.stdout == ""
    assert wrong.stderr.startswith("error: there is no edit 'nothing/topic'") and wrong.stderr.count("\n") == 1


def test_missing_data_is_one_sentence_for_every_command(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for words, said in (
        (["inspect"], "data holds no output of a stage; run `uv run python experiment.py --out_dir=run_1`"),
        (["scope", "a text"], "data/params.yaml is missing; run `uv run dvc repro params`"),
        (["ask", "a text"], "data/params.yaml is missing; run `uv run dvc repro params`"),
        (["compare", "run_1"], "run_1 holds no final_info.json; name folders of finished runs, such as run_7"),
        (["export", "--method", "npo", "--out", "x"], "data/model is missing; run `uv run dvc repro prepare`"),
        (["agreement", "x"], "data/sae is missing; run `uv run dvc repro train_sae`"),
    ):
        assert door.main(words) == 1
        assert capsys.readouterr().err == f"error: {said}\n"


def test_a_command_that_is_interrupted_says_so(monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> Mapping[str, object]:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.inspection.subjects.look", interrupted)
    assert door.main(["inspect"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("words", ["inspect sae", "inspect dendrogram --newick", "inspect edit subtree/topic --json"])
def test_a_pipe_that_closes_ends_it_in_silence(root: Path, place: Path, words: str) -> None:
    """What `... | head` does; tables, text and JSON are written in three ways."""
    code = f"import sys; from pipeline.__main__ import main; sys.stdin.read(); sys.exit(main({words.split()}))"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=place, env=os.environ | {"PYTHONPATH": str(root)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    child.stdout.close()
    child.stdin.close()  # only now it begins
    assert child.stderr.read() == ""
    assert child.wait() == 1
    child.stderr.close()


def test_it_prints_json_and_tables(root: Path, place: Path) -> None:
    write_json(place / "data/report/words.json", {"latents": {}, "nodes": {"8": [PLANTED]}})
    done = call(root, place, "inspect", "edit", "subtree/topic", "--json")
    assert json.loads(done.stdout)["edit"] == "subtree/topic" and done.stderr == ""
    assert "subtree/topic" in call(root, place, "inspect", "edit", "subtree/topic", COLUMNS="200").stdout
    assert PLANTED in call(root, place, "inspect", "dendrogram").stdout


def test_an_empty_example_means_nothing(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="an example is empty; give a text that speaks of what is meant"):
        find_scopes(tmp_path, ["a text", " "], "tree")
