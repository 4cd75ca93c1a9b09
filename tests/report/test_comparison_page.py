"""Several runs on one page: its own words, no other file, and nothing planted runs."""

import json
import re

import pytest

from pipeline.report.comparison import curves, read_runs
from pipeline.report.comparison_page import comparison_page
from pipeline.report.final_info import collect
from tests.support.report_files import NODES, PLANTED
from tests.support.report_page import read, written_page


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs of the made-up folder; the second kept no curves.json."""
    evidence, folders = read(written_page().data), []
    final_info = collect(evidence.entries, evidence.sae_bench, evidence.baselines.seed)
    for name in ("run_1", "other"):
        folder = tmp_path_factory.mktemp("runs") / name
        folders.append(folder)
        (folder / "report").mkdir(parents=True)
        (folder / "final_info.json").write_text(json.dumps(final_info), encoding="utf-8")
        (folder / "params.yaml").write_text(f"corpus: {{levels: [topic, entity]}}\nname: {name}\n", encoding="utf-8")
    (folders[0] / "report/curves.json").write_text(json.dumps(curves(evidence)), encoding="utf-8")
    return comparison_page(read_runs(folders))


def test_it_says_what_each_run_found(html: str) -> None:
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "2 runs compared" in words and "other, run_1" in words
    assert "sibling topics lose 12.5 points, other topics 1.0." in words
    assert "no method can be named the best: this run kept nothing of the dev sweep" in words
    assert "explained variance" in words and "explained_variance" not in words
    assert html.count('class="trade"') == 4  # two runs, two targets


def test_it_needs_no_other_file_and_runs_nothing_planted(html: str) -> None:
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert PLANTED not in html and NODES[0] not in html
    assert "&lt;b&gt;d0&lt;/b&gt;" in html
