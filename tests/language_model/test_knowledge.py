"""Known is what is right in two of three paraphrases; a target that is not known is refused with figures."""

import re
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json, write_jsonl
from pipeline.language_model.knowledge import ask_everything, write_knowledge
from pipeline.language_model.known import Known, check_known, facts_known, refuse_unknown, table_of, unknown_beside
from tests.support.tiny_lm import gemma, save_model, word_tokenizer


def fact(name: str, right: int, kind: str = "named", region: str = "r", asked: int = 3) -> Known:
    return Known((region, name), kind, f"{name}{right}{kind}", right, asked)


@pytest.mark.parametrize(
    ("right", "asked", "known"), [(3, 3, True), (2, 3, True), (1, 3, False), (1, 1, True), (1, 2, False), (0, 1, False)]
)
def test_two_of_three_are_needed(right: int, asked: int, known: bool) -> None:
    assert fact("a", right, asked=asked).known is known


def probe(number: int, subject: str, answer: str = "w3", kind: str = "named") -> dict:
    path, prompt = ["r", "a"], f"w{number} w1 w2"
    whole = {"id": f"{kind}{subject}{number}", "prompt": prompt, "answer": answer, "options": ["w3", "w4", "w5", "w6"]}
    return whole | {"path": path, "split": "test", "kind": kind, "fact": "f", "subject": subject}


def test_answers_are_gathered_by_fact_and_direction() -> None:
    probes = [*(probe(i, "s") for i in range(3)), *(probe(i, "a", "w4", "otherwise") for i in range(3))]
    right = {row["id"]: row["kind"] == "named" or row["prompt"][1] == "0" for row in probes}
    found = facts_known(probes, right)
    assert [(one.kind, one.right, one.asked) for one in found] == [("named", 3, 3), ("otherwise", 1, 3)]
    [named, other] = table_of(found, 2)
    assert named == {"node": "r/a", "kind": "named", "facts": 1, "known": 1, "choice": 1.0}
    assert (other["known"], other["choice"]) == (0, 0.333)


def test_two_relations_with_one_answer_are_two_facts() -> None:
    """Rome is the capital and the largest city."""
    probes = [probe(i, "s") | {"relation": name, "id": f"{name}{i}"} for name in ("capital", "city") for i in range(3)]
    found = facts_known(probes, {row["id"]: row["relation"] == "city" for row in probes})
    assert [(one.right, one.asked) for one in found] == [(0, 3), (3, 3)]


def test_a_target_that_is_not_known_is_refused_with_figures() -> None:
    facts = [fact("a", 3), fact("a", 0), fact("a", 1, "otherwise"), fact("a", 3, "copying"), fact("b", 3)]
    check_known(facts, {"region": ("r",), "country": ("r", "b")}, 0.5)
    said = "knows 1 of 3 facts of the country to forget, r/a, below the share of 0.5"
    with pytest.raises(PipelineError, match=re.escape(said) + r".*\(it knows more of b 1 of 1\)"):
        check_known(facts, {"country": ("r", "a")}, 0.5)


@pytest.mark.parametrize(
    ("known", "asked", "refused"),
    [(0, 20, True), (8, 20, True), (9, 20, False), (2, 3, True), (3, 3, False), (1, 2, True), (600, 2000, False)],
)
def test_without_a_share_a_target_must_be_known_beyond_guessing(known: int, asked: int, refused: bool) -> None:
    """Facts of the user's own questions: each asked once, with four options."""
    facts = [Known(("poisons",), "question", str(i), i < known, 1) for i in range(asked)]
    facts += [Known(("medicine",), "question", str(i), 1, 1) for i in range(20)]
    if refused:
        said = f"knows {known} of {asked} facts of the subject to forget, poisons, and guessing comes to "
        with pytest.raises(PipelineError, match=said + r".*\(it knows more of medicine 20 of 20\)") as error:
            check_known(facts, {"subject": ("poisons",)}, None)
        assert "language_model.tiny" in str(error.value)
    else:
        check_known(facts, {"subject": ("poisons",)}, None)


def test_a_target_with_texts_and_no_probes_is_left_to_those_who_count_probes() -> None:
    check_known([fact("a", 3)], {"country": ("r", "b")}, None)


def test_what_is_not_known_beside_the_target_is_told() -> None:
    known = [fact("a", 3) for _ in range(9)] + [Known((), "general", str(i), 1, 1) for i in range(9)]
    assert unknown_beside(known, {"country": ("r", "a")}) == []
    facts = known + [fact("b", 0) for _ in range(9)] + [fact("b", 3, "copying")]
    [said] = unknown_beside(facts, {"country": ("r", "a")})
    assert said.startswith("beside the country r/a the model knows 0 of 9 facts of the siblings, as guessing does")
    assert len(unknown_beside(facts, {"region": ("q",)})) == 0  # 9 of 18 are clear of chance


def test_what_was_asked_once_serves_later_stages(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    probes = [probe(i, "s") for i in range(3)]
    write_jsonl(tmp_path / "corpus/probes.jsonl", probes)
    write_json(tmp_path / "corpus/corpus.json", {"levels": ["region", "country"]})
    refuse_unknown(tmp_path / "model", tmp_path / "corpus", {"country": ("r", "a")})  # nobody asked
    [found] = write_knowledge(tmp_path / "model", tmp_path / "corpus", 0.5, "cpu")
    right = ask_everything(gemma(), word_tokenizer(), probes)
    assert found.right == sum(right.values())
    if found.known:
        refuse_unknown(tmp_path / "model", tmp_path / "corpus", {"country": ("r", "a")})
    else:
        with pytest.raises(PipelineError, match="knows 0 of 1 facts"):
            refuse_unknown(tmp_path / "model", tmp_path / "corpus", {"country": ("r", "a")})
