"""A split belongs to the text or prompt: rows that say the same are never learnt from and reported on."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.files import read_jsonl
from pipeline.core.settings import parse
from pipeline.corpus.documents import join, split_rows, text_key
from pipeline.corpus.settings import CorpusSettings
from pipeline.corpus.write import write_corpus


def written(folder: Path, rows: list[dict[str, Any]], texts: dict[str, Any], probes: dict[str, Any]) -> Path:
    """A corpus whose texts and probes come from one file of rows."""
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text, probe = {"file": "a.jsonl", "path": ["n"], **texts}, {"file": "a.jsonl", "path": ["n"], **probes}
    section = {"source": "files", "folder": str(folder), "levels": ["node"], "texts": [text], "probes": [probe]}
    write_corpus(parse(CorpusSettings, section | {"training_text": [text]}, "corpus"), 0, folder / "corpus")
    return folder / "corpus"


def splits_of(corpus: Path, name: str, key: str) -> dict[str, set[str]]:
    """What a text or prompt says, without case and white space -> the splits that it is in."""
    found = defaultdict(set)
    for row in read_jsonl(corpus / f"{name}.jsonl"):
        found[" ".join(row[key].casefold().split())].add(row["split"])
    return found


@pytest.mark.parametrize(
    ("again", "reason"),
    [
        (lambda row: row | {"id": 999}, "another id"),
        (lambda row: row | {"source": "copy", "answer": row["answer"].upper()}, "another column, and case"),
        (lambda row: row | {"id": 1, "q": f"  {row['q']}\n"}, "white space"),
        (lambda row: row | {"id": None, "q": "Où est le nœud?", "answer": "Là"}, "all the same one"),
    ],
)
def test_rows_of_one_text_have_one_split(tmp_path: Path, again: Any, reason: str) -> None:
    rows = [{"id": i, "q": f"Who is number {i}?", "answer": f"Name {i}"} for i in range(20)]
    corpus = written(tmp_path, rows + [again(row) for row in rows], {"template": "{q} {answer}"}, {"prompt": "{q}"})
    for name, key in (("texts", "text"), ("probes", "prompt")):
        assert all(len(splits) == 1 for splits in splits_of(corpus, name, key).values()), reason
    assert {split for splits in splits_of(corpus, "texts", "text").values() for split in splits} == {
        "train",
        "dev",
        "test",
    }


def test_a_prompt_with_another_answer_has_one_split(tmp_path: Path) -> None:
    rows = [{"id": i, "q": f"Who is number {i % 10}?", "answer": f"Name {i}"} for i in range(40)]
    corpus = written(tmp_path, rows, {"template": "{q} {answer}"}, {"prompt": "{q}"})
    assert all(len(splits) == 1 for splits in splits_of(corpus, "probes", "prompt").values())


def test_a_text_that_tells_a_probe_of_another_row_has_its_split(tmp_path: Path) -> None:
    """Texts and probes of two files with other columns: only what they say is the same."""
    asked = [{"q": f"Who is number {i}?", "answer": f"Name {i}"} for i in range(20)]
    told = [{"n": i, "text": f"who is  number {i}? Name {i}"} for i in range(20)]
    (tmp_path / "told.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    corpus = written(tmp_path, asked, {"file": "told.jsonl"}, {"prompt": "{q}"})
    texts, probes = splits_of(corpus, "texts", "text"), splits_of(corpus, "probes", "prompt")
    assert all(texts[f"{prompt} name {prompt.split()[-1][:-1]}"] == splits for prompt, splits in probes.items())


def test_passages_of_one_row_stay_together(tmp_path: Path) -> None:
    rows = [{"id": i, "text": f"{i} " + "word " * 60, "q": f"q{i}", "answer": f"a{i}"} for i in range(10)]
    corpus = written(tmp_path, rows, {"passage_characters": 100}, {"prompt": "{q}"})
    texts = list(read_jsonl(corpus / "texts.jsonl"))
    assert len(texts) == 40
    assert all(len({row["split"] for row in texts[i : i + 4]}) == 1 for i in range(0, 40, 4))


def test_accents_may_be_encoded_in_two_ways() -> None:
    assert text_key("Où  EST-IL") == text_key("ou\u0300 est-il")
    assert text_key("ou est-il") != text_key("où est-il")


def test_keys_hang_together_through_a_third() -> None:
    assert join([("a", "x"), ("b", "y"), ("c", "x", "y")]) == {"a": "a", "x": "a", "b": "a", "y": "a", "c": "a"}
    assert join([("a", "x"), ("b", "y")]) == {"a": "a", "x": "a", "b": "b", "y": "b"}
    chain = [(f"row{i}", f"t{i}", f"t{i + 1}") for i in range(5000)]
    assert set(join([*chain[::2], *chain[1::2]]).values()) == {"row0"}


def test_no_items_no_splits() -> None:
    assert split_rows([], 0) == {}
