"""runs/tofu-local.yaml: the real files where they lie beside the repository, made-up ones everywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.files import read_json, read_jsonl
from pipeline.core.settings import parse
from pipeline.core.yaml_text import read_yaml
from pipeline.corpus.settings import CorpusSettings
from pipeline.corpus.sources import check_sources
from pipeline.corpus.write import write_corpus
from pipeline.unlearning.settings import UnlearningSettings
from tests.support.all_stages import SHRUNK, run_all_stages
from tests.support.settings import recommended

ROOT = Path(__file__).resolve().parents[2]
FILES = ("forget10.jsonl", "retain.jsonl", "real_authors.jsonl", "world_facts.jsonl")
PLACES = ("Lisbon", "Quito", "Oslo", "Accra", "Hanoi", "Tunis", "Bergen", "Lima", "Perth", "Kyiv")


def made_up(folder: Path) -> Path:
    """Two authors to forget from, three to keep, and general questions, with the columns and blocks of TOFU."""
    names = {"forget10.jsonl": ("Ada Moss", "Ben Reed"), "retain.jsonl": ("Cy Vale", "Dee Holt", "Eli Marsh")}
    for name in FILES:
        rows = [
            {
                "question": f"What is work {i} of {author}?",
                "answer": f"Work {i} of {author} is set in {place} in {1900 + i}.",
            }
            for author in names.get(name, ())
            for i, place in enumerate(PLACES * 2)
        ] or [{"question": f"Which city is number {i} of {name}?", "answer": place} for i, place in enumerate(PLACES)]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(params=["made up", "real"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "made up":
        return made_up(tmp_path)
    real = ROOT / corpus_section()["folder"]
    if not real.is_dir():
        pytest.skip(f"{real} holds the TOFU files on the developers' machines only")
    return real


def corpus_section() -> dict[str, Any]:
    return read_yaml(ROOT / "runs/tofu-local.yaml")["corpus"]


def test_an_author_is_a_block_of_twenty_questions(folder: Path, tmp_path: Path) -> None:
    settings = parse(CorpusSettings, corpus_section() | {"folder": str(folder)}, "corpus")
    check_sources(settings, "train")
    corpus = write_corpus(settings, 0, tmp_path / "corpus")
    assert corpus["nodes"]["author"][0] == ["forget_author_0"]
    probes = list(read_jsonl(tmp_path / "corpus/probes.jsonl"))
    forget = [probe for probe in probes if probe["path"] == ["forget_author_0"]]
    lines = list(read_jsonl(folder / "forget10.jsonl"))[:20]
    assert [probe["answer"] for probe in forget] == [line["answer"] for line in lines]
    assert [sum(probe["split"] == split for probe in forget) for split in ("train", "dev", "test")] == [8, 4, 8]
    assert {tuple(probe["path"]) for probe in probes if probe["kind"] in ("real_author", "world_fact")} == {()}
    texts = {row["text"] for row in read_jsonl(tmp_path / "corpus/train.jsonl")}
    assert texts == {f"{probe['prompt']} {probe['answer']}" for probe in probes}


def test_every_stage_runs_on_a_slice(tmp_path: Path) -> None:
    """Two authors to forget from and three to keep, from the real files where they are, else made up."""
    (tmp_path / "slice").mkdir()
    (tmp_path / "work").mkdir()
    real = ROOT / corpus_section()["folder"]
    for name, lines in zip(FILES, (40, 60, 10, 10), strict=True):
        if not real.is_dir():
            made_up(tmp_path / "slice")
            break
        rows = (real / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / "slice" / name).write_text("".join(rows[:lines]), encoding="utf-8")
    tiny = {"hidden_size": 32, "layers": 3, "heads": 2, "kv_heads": 1, "head_dim": 16, "intermediate_size": 64}
    tiny |= {"vocab_size": 600, "max_tokens": 6000, "cooldown_tokens": 2000, "check_tokens": 3000, "warmup_steps": 4}
    model = {"tiny": tiny, "least_known": 0}  # it learns next to nothing
    shrunk = {"extends": ["tofu-local"], "corpus": {"folder": "../slice"}, "language_model": model} | SHRUNK
    done = run_all_stages(tmp_path / "work", shrunk, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "failed" not in done.stdout  # an eval of sae-bench that fails costs only that eval
    info = read_json(tmp_path / "work/data/final_info.json")
    for method in ("none", *recommended(UnlearningSettings).methods):
        assert 0 <= info[f"unlearning/{method}/author"]["means"]["forget_mcq"] <= 1
    assert "sibling_drop" in info["unlearning/subtree/author"]["means"]
    assert "other_drop" not in info["unlearning/subtree/author"]["means"]  # there is no other domain
    flat, tree = (info[f"unlearning/{method}/author"]["means"] for method in ("flat_frequency", "subtree"))
    assert flat["groups"] == flat["latents"] and tree["groups"] <= tree["latents"]
    assert (tmp_path / "work/data/report/index.html").stat().st_size > 10_000
    one_process_chooses_the_same(tmp_path / "work")


def one_process_chooses_the_same(folder: Path) -> None:
    """The edits of the stage's two processes, byte for byte."""
    edits = sorted((folder / "data/unlearning").glob("*/*/edit.safetensors"))
    before = {edit: edit.read_bytes() for edit in edits}
    params = folder / "data/params.yaml"
    alone = params.read_text(encoding="utf-8").replace("unlearn_workers: 2", "unlearn_workers: 1")
    params.write_text(alone, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "driver.py", "unlearn"], cwd=folder, env=environment, check=True)
    assert before and before == {edit: edit.read_bytes() for edit in before}
