"""Sources become corpus files: relations, splits that never mix, options, and refusals."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_jsonl
from pipeline.core.settings import parse
from pipeline.corpus.documents import assign_splits, documents, passages, row_key
from pipeline.corpus.questions import questions
from pipeline.corpus.settings import CorpusSettings, ProbeSource, TextSource
from pipeline.corpus.targets import relation
from pipeline.corpus.write import write_corpus
from tests.support.settings import recommended


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("", "a", "general"),
        ("a", "a", "forget"),
        ("a b", "a", "forget"),
        ("c", "a", "sibling"),  # at the top, the other domains
        ("c d", "a", "sibling"),
        ("a b", "a b", "forget"),
        ("a c x", "a b", "sibling"),
        ("a", "a b", "other"),  # about the parent: both sides
        ("z b", "a b", "other"),  # the same name elsewhere
        ("a b y", "a b x", "sibling"),
        ("a b", "a b x", "other"),
        ("a c x", "a b x", "other"),
    ],
)
def test_relation(path: str, target: str, expected: str) -> None:
    assert relation(path.split(), target.split()) == expected


def test_each_node_is_divided_in_exact_shares_and_the_seed_matters() -> None:
    pairs = [((f"n{i % 3}",), f"key{i}") for i in range(60)]
    splits = assign_splits(pairs, seed=0)
    for node in range(3):
        shares = Counter(splits[key] for path, key in pairs if path == (f"n{node}",))
        assert shares == {"train": 8, "dev": 4, "test": 8}
    assert splits == assign_splits(list(reversed(pairs)), seed=0)
    assert splits != assign_splits(pairs, seed=1)


def test_five_rows_are_enough_for_every_split() -> None:
    assert set(assign_splits([((), str(i)) for i in range(5)], seed=3).values()) == {"train", "dev", "test"}


def test_a_key_of_two_nodes_has_one_split() -> None:
    pairs = [(("a",), "shared"), *((("b",), f"b{i}") for i in range(9)), (("b",), "shared")]
    assert assign_splits(pairs, seed=0)["shared"] == assign_splits(pairs[:-1], seed=0)["shared"]


def test_rows_that_differ_in_case_or_space_are_one() -> None:
    assert row_key({"q": "Who  is it?", "a": "X"}) == row_key({"a": "x", "q": "who is it? "[:-1]})
    assert row_key({"q": "1"}) != row_key({"q": "2"})


def test_passages_lose_no_word_and_keep_to_their_length() -> None:
    text = "Alpha beta. Gamma delta epsilon. Zeta\nEta theta iota kappa lambda. " + "x" * 50
    cut = passages(text, 25)
    assert max(map(len, cut)) <= 25
    assert "".join("".join(cut).split()) == "".join(text.split())
    assert cut[:2] == ["Alpha beta.", "Gamma delta epsilon. Zeta"]


def test_documents_counts_rows_and_passes_over_short_ones() -> None:
    source = TextSource(file="a.txt", documents=2, min_characters=3, passage_characters=100)
    rows = [{"text": text} for text in ("", "ab", "abc", "word " * 30, "abcd")]
    found = list(documents(iter(rows), source))
    assert [len(document.text) for document in found] == [3, 99, 49]
    assert found[1].key == found[2].key != found[0].key


CHOICE = {"question": "Which?", "choices": ["red", "green", "blue", "white"], "answer": 2}


@pytest.mark.parametrize(
    "row",
    [
        CHOICE,
        CHOICE | {"answer": "C"},
        CHOICE | {"answer": "blue"},
        CHOICE | {"answer": "2", "choices": json.dumps(CHOICE["choices"])},  # as a CSV file has them
    ],
)
def test_the_answer_is_a_number_a_letter_or_a_text(row: dict[str, Any]) -> None:
    (question,) = questions([row], ProbeSource(file="a.csv", choices=("choices",)), seed=0)
    assert question.prompt == "Question: Which? Answer:"
    assert (question.answer, question.options) == ("blue", ("red", "green", "blue", "white"))


def test_lettered_options_as_in_mmlu() -> None:
    source = ProbeSource(file="a.jsonl", choices=("choices",), prompt="{question}\n{choices}\nAnswer:")
    (question,) = questions([CHOICE], source, seed=0)
    assert question.prompt == "Which?\nA. red\nB. green\nC. blue\nD. white\nAnswer:"
    assert (question.answer, question.options) == ("C", ("A", "B", "C", "D"))


def test_options_in_columns_of_their_own() -> None:
    row = {"question": "Which?", "a": "red", "b": "green", "c": "blue", "d": "white", "key": "b"}
    source = ProbeSource(file="a.csv", choices=("a", "b", "c", "d"), answer="key")
    with pytest.raises(PipelineError, match="the answer 'b' is not the number, letter or text of an option"):
        questions([row], source, seed=0)
    assert questions([row | {"key": "B"}], source, seed=0)[0].answer == "green"


def test_rows_without_four_different_options_are_passed_over() -> None:
    rows = [CHOICE | {"choices": ["red", "red", "blue", "white"]}, CHOICE | {"choices": ["red", "blue"]}, CHOICE]
    assert len(questions(rows, ProbeSource(file="a.jsonl", choices=("choices",)), seed=0)) == 1


def test_free_answers_get_options_of_their_own_node() -> None:
    rows = [{"question": f"q{i}", "answer": f"{'ab'[i // 6]}{i % 5}"} for i in range(12)]  # a0 and b0 come twice
    source = ProbeSource(file="a.jsonl", path=("n{block}",), lines_per_block=6)
    found = questions(rows, source, seed=0)
    for question in found:
        assert question.answer in question.options
        assert len(set(question.options)) == 4
        assert {option[0] for option in question.options} == {question.answer[0]}
    assert found == questions(rows, source, seed=0)
    assert found != questions(rows, source, seed=1)
    assert len({question.options.index(question.answer) for question in found}) > 1


def test_a_node_with_few_answers_borrows_from_the_source_and_too_few_are_refused() -> None:
    rows = [{"question": f"q{i}", "answer": f"a{i}"} for i in range(6)]
    source = ProbeSource(file="a.jsonl", path=("n{block}",), lines_per_block=3)
    assert len(questions(rows, source, seed=0)[0].options) == 4
    with pytest.raises(PipelineError, match=r"a\.jsonl has 3 different answers; four options need at least 4"):
        questions(rows[:3], source, seed=0)


def settings(folder: Path, **changes: Any) -> CorpusSettings:
    """Three authors of ten questions each in one file, and ten general questions in another."""
    for name, rows in (
        ("authors.jsonl", [{"question": f"Q{i}", "answer": f"A{i}"} for i in range(30)]),
        ("facts.jsonl", [{"question": f"F{i}", "answer": f"B{i}"} for i in range(10)]),
    ):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    authors = {"file": "authors.jsonl", "path": ["author_{block}"], "lines_per_block": 10}
    texts = [authors | {"template": "{question} {answer}"}, {"file": "facts.jsonl", "template": "{question} {answer}"}]
    section = {
        "source": "files",
        "folder": str(folder),
        "levels": ["author"],
        "training_text": texts,
        "texts": texts,
        "probes": [authors, {"file": "facts.jsonl"}],
    }
    return parse(CorpusSettings, section | changes, "corpus")


def test_the_corpus_files(tmp_path: Path) -> None:
    corpus = write_corpus(settings(tmp_path), 0, tmp_path / "corpus")
    assert corpus["nodes"] == {"author": [["author_0"], ["author_1"], ["author_2"]]}
    assert corpus == json.loads((tmp_path / "corpus/corpus.json").read_text())
    training, texts, probes, probing = (
        list(read_jsonl(tmp_path / "corpus" / f"{name}.jsonl")) for name in ("train", "texts", "probes", "probing")
    )
    assert {row["text"] for row in training} == {row["text"] for row in texts}
    assert len(training) == 40
    assert Counter(tuple(row["path"]) for row in training) == {(): 10, **{(f"author_{i}",): 10 for i in range(3)}}
    question = probes[12]
    assert (question["prompt"], question["answer"], question["path"]) == ("Question: Q12 Answer:", "A12", ["author_1"])
    assert {row["label"] for row in probing} == {"author_0", "author_1", "author_2", "general"}
    assert {row["split"] for row in probing} == {"train", "test"}


def test_a_row_has_one_split_in_texts_and_probes(tmp_path: Path) -> None:
    write_corpus(settings(tmp_path), 0, tmp_path / "corpus")
    of_text = {row["text"].split()[0]: row["split"] for row in read_jsonl(tmp_path / "corpus/texts.jsonl")}
    of_probe = {row["prompt"].split()[1]: row["split"] for row in read_jsonl(tmp_path / "corpus/probes.jsonl")}
    assert of_text == of_probe
    assert set(of_text.values()) == {"train", "dev", "test"}


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    def written(name: str, seed: int) -> dict[str, bytes]:
        write_corpus(settings(tmp_path), seed, tmp_path / name)
        return {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.json*")}

    assert written("one", 0) == written("two", 0)
    assert written("one", 0) != written("three", 1)


def test_the_checksum_of_a_file_is_kept(tmp_path: Path) -> None:
    kept = write_corpus(settings(tmp_path), 0, tmp_path / "corpus")["source"]["sources"]
    assert [source["use"] for source in kept] == ["training_text"] * 2 + ["texts"] * 2 + ["probes"] * 2
    assert len({source["sha256"] for source in kept}) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"texts": [{"file": "facts.jsonl"}]},
            r"facts\.jsonl, row 1: there is no column `text`; it has answer, question",
        ),
        (
            {"texts": [{"file": "facts.jsonl", "template": "{answer}", "min_characters": 9}]},
            r"facts\.jsonl holds no row that can be used",
        ),
    ],
)
def test_refusals_while_writing(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        write_corpus(settings(tmp_path, **changes), 0, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"texts": []}, "texts is empty"),
        ({"texts": [{"template": "{text}"}]}, "give either `dataset`"),
        ({"texts": [{"file": "a.jsonl", "dataset": "o/n"}]}, "give either `dataset`"),
        ({"texts": [{"file": "a.doc"}]}, r"a\.doc must end in one of \.jsonl, \.csv"),
        ({"texts": [{"file": "a.txt", "path": ["a", "b"]}]}, "path has 2 nodes, but there are 1 levels"),
        ({"texts": [{"file": "a.txt", "path": ["a{block}"]}]}, "need each other"),
        ({"texts": [{"file": "a.txt", "passage_characters": 10}]}, "0 .whole. or 100 or more"),
        ({"texts": [{"file": "a.txt", "templat": "x"}]}, r"corpus\.texts\[0\]\.templat`; did you mean `template`"),
        ({"probes": [{"file": "a.csv", "prompt": "{choices} Answer:"}]}, "needs `choices`"),
        ({"probes": [{"file": "a.csv", "prompt": "{question} "}]}, "must not end in a space"),
        ({"levels": []}, r"`corpus.levels` is \[\]; it must be a list with at least 1"),
        ({"source": "hub"}, "must be one of world, files"),
    ],
)
def test_impossible_settings(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        settings(tmp_path, **changes)


def test_the_embedded_world_names_no_sources() -> None:
    assert recommended(CorpusSettings).sources() == ()
    assert recommended(CorpusSettings, texts=(TextSource(file="a.txt"),)).sources() == ()
