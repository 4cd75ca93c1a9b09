"""runs/tofu-local.yaml: the real files where they lie beside the repository, made-up ones everywhere."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.corpora.sources import check_sources
from pipeline.corpora.write import write_corpus
from pipeline.files import read_jsonl
from pipeline.settings.corpus import CorpusSettings
from pipeline.settings.strict import parse

ROOT = Path(__file__).resolve().parent.parent
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
    return yaml.safe_load((ROOT / "runs/tofu-local.yaml").read_text(encoding="utf-8"))["corpus"]


def test_an_author_is_a_block_of_twenty_questions(folder: Path, tmp_path: Path) -> None:
    settings = parse(CorpusSettings, corpus_section() | {"folder": str(folder)}, "corpus")
    check_sources(settings, "train")
    corpus = write_corpus(settings, 0, tmp_path / "corpus")
    assert corpus["targets"] == {"author": ["forget_author_0"]}
    probes = list(read_jsonl(tmp_path / "corpus/probes.jsonl"))
    forget = [probe for probe in probes if probe["path"] == ["forget_author_0"]]
    lines = list(read_jsonl(folder / "forget10.jsonl"))[:20]
    assert [probe["answer"] for probe in forget] == [line["answer"] for line in lines]
    assert [sum(probe["split"] == split for probe in forget) for split in ("train", "dev", "test")] == [8, 4, 8]
    assert {tuple(probe["path"]) for probe in probes if probe["kind"] in ("real_author", "world_fact")} == {()}
    texts = {row["text"] for row in read_jsonl(tmp_path / "corpus/train.jsonl")}
    assert texts == {f"{probe['prompt']} {probe['answer']}" for probe in probes}
