"""Runs side by side: what changed, tables for people, Markdown and programs, and plot.py's pictures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.yaml_text import as_yaml
from pipeline.report.comparison import as_markdown, changes, comparison, levels, read_runs, what_changed


def write_run(folder: Path, k: int, drop: float) -> None:
    """A finished run with one edit on one topic."""
    entries = {
        "sae": {"means": {"explained_variance": 0.9, "l0": 15.0}, "stderrs": {}},
        "hierarchy": {
            "means": {"stability_ari_level_1": 0.8, "stability_null_level_1": 0.0, "coherence_lift_level_1": 0.2},
            "stderrs": {"stability_ari_level_1": 0.1},
        },
        "unlearning/subtree/topic": {
            "means": {"forget_mcq": 0.3, "forget_cloze": 0.1, "sibling_drop": drop},
            "stderrs": {"sibling_drop": 1.0},
        },
    }
    params = {"corpus": {"levels": ["domain", "topic"]}, "sae": {"k": k, "l1": 0.0}}
    sweep = [{"forget_choice": 0.3, "sibling_drop": drop}, {"forget_choice": 0.9, "sibling_drop": 0.0}]
    training = [{"step": 1, "explained_variance": 0.1}, {"step": 2, "explained_variance": 0.9}]
    (folder / "report").mkdir(parents=True)
    (folder / "final_info.json").write_text(json.dumps(entries))
    (folder / "params.yaml").write_text(as_yaml(params))
    (folder / "report/curves.json").write_text(json.dumps({"training": training, "sweeps": {"subtree/topic": sweep}}))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_run(tmp_path / "run_2", 16, 4.0)
    write_run(tmp_path / "run_10", 8, 12.5)
    return tmp_path


def test_runs_come_in_the_order_of_their_numbers(place: Path) -> None:
    runs = read_runs(list(place.glob("run_*")))
    assert [run.name for run in runs] == ["run_2", "run_10"]
    assert levels(runs) == ["topic"]  # no edit of a domain was measured


def test_what_changed_names_old_and_new(place: Path) -> None:
    rows = what_changed(read_runs(list(place.glob("run_*"))))
    assert rows[1] == {"run": "run_10", "setting": "sae.k", "before": "16", "now": "8"}
    assert len(rows) == 2
    assert changes({"a": 1}, {"a": 1, "b": {"c": 2}}) == {"b.c": (None, 2)}


def test_tables_hold_intervals_and_leave_out_what_was_not_computed(place: Path) -> None:
    content = comparison(read_runs(list(place.glob("run_*"))))
    assert {"figure": "l0", "run_2": "15.0", "run_10": "15.0"} in content["dictionary"]
    assert "dead_share" not in json.dumps(content)
    (first, second) = content["forgetting one topic"]
    assert [row["run"] for row in (first, second)] == ["run_2", "run_10"]
    assert first["kind"] == "clamp" and "not measured, and why" not in content
    assert first["sibling_drop"] == "4.0 ± 2.0" and second["sibling_drop"] == "12.5 ± 2.0"
    assert first["general_drop"] is None
    assert "| clamp | subtree | run_10 | 0.300 | 0.100 | 12.5 ± 2.0 |" in as_markdown(content)


def test_what_one_run_lacks_is_named_with_the_reason_and_families_have_tables(place: Path) -> None:
    info = place / "run_10/final_info.json"
    entries = json.loads(info.read_text())
    figures = {"means": {"forget_mcq": 0.25, "sibling_drop": 1.0}, "stderrs": {}}
    later = {"unlearning/npo/topic": figures, "unlearning/later_method/topic": figures}
    later |= {f"{name}": {"means": {"x_50": 0.5}, "stderrs": {}} for name in ("scope/tree", "few_shot/npo/4")}
    info.write_text(json.dumps(entries | later))
    content = comparison(read_runs(list(place.glob("run_*"))))
    (row,) = content["not measured, and why"]
    assert (row["run"], row["level"], row["methods"]) == ("run_2", "topic", "npo")
    assert "does not ask for it" in row["why"]
    assert [row["method"] for row in content["forgetting one topic"]] == ["subtree", "subtree", "later_method", "npo"]
    (family,) = [rows for title, rows in content.items() if title.startswith("Few shots")]
    assert family == [{"": "npo/4", "run": "run_10", "x_50": "0.500"}]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"holds no final_info\.json; name folders of finished runs"):
        read_runs([tmp_path])


def test_the_command_prints_markdown_and_cuts_nothing_off(place: Path, root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "60"}
    command = [sys.executable, "-m", "pipeline", "compare", "run_2", "run_10"]
    table, markdown, wrong = (
        subprocess.run([*command, *more], cwd=place, env=environment, capture_output=True, text=True)
        for more in ([], ["--markdown"], ["run_11"])
    )
    assert table.returncode == markdown.returncode == 0
    assert "12.5" in table.stdout and "0.300" in table.stdout
    assert "### Forgetting one topic" in markdown.stdout
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: run_11 holds no final_info.json")


def test_plot_draws_the_runs_beside_it(place: Path, root: Path) -> None:
    shutil.copy(root / "plot.py", place)
    (place / "run_10").rename(place / "mine")  # a run may have any name
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, place / "plot.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compare.html" in done.stdout and "<h1>2 runs compared</h1>" in (place / "compare.html").read_text()
    drawn = {path.name for path in place.glob("*.png")}
    assert drawn == {"compare_training.png", "compare_hierarchy.png", "compare_forgetting_topic.png"}
    assert all(path.stat().st_size > 5000 for path in place.glob("*.png"))


def test_plot_without_runs_is_one_sentence(tmp_path: Path, root: Path) -> None:
    shutil.copy(root / "plot.py", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, tmp_path / "plot.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip().count("\n") == 0 and "no finished run" in done.stderr
