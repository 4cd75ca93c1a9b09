"""The embedded world: its tree is as asked for, its splits never mix, and it is the same for the same seed."""

import json
from itertools import islice
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_jsonl
from pipeline.corpus.settings import WorldSettings
from pipeline.corpus.world.documents import Writer
from pipeline.corpus.world.knowledge import general_facts, make_world
from pipeline.corpus.world.probes import NOVEL, TEMPLATES, assign, fact_probes, general_probes, prompt
from pipeline.corpus.world.write import write_world
from tests.support.settings import recommended

SMALL = recommended(WorldSettings, domains=2, topics_per_domain=2, entities_per_topic=4, training_tokens=3000)


@pytest.fixture(scope="module")
def world():
    return make_world(recommended(WorldSettings), seed=0)


def test_four_domains_of_four_topics_of_eight_entities_with_five_facts_each(world):
    assert len(world.facts) == 640
    assert len({fact.path[0] for fact in world.facts}) == 4
    assert [len(members) for members in world.topics().values()] == [8] * 16
    assert all(len(facts) == 5 for facts in world.entities().values())


def test_every_value_is_one_of_its_pool_and_siblings_share_pools(world):
    assert all(fact.value in fact.pool for fact in world.facts)
    pools = {}
    for fact in world.facts:
        pools.setdefault(fact.pool, set()).add(fact.path[:2])
    spread = sorted(len(topics) for topics in pools.values())
    assert spread == [1] * 32 + [4] * 8 + [16], "two pools a topic, two a domain, one common"


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (4, 1),  # the default: last names are unique
        (1, 1),  # all words are unique
        (4, 4),  # both words recur: only the pair identifies
        (1, 8),  # only the first name identifies
    ],
)
def test_full_names_are_unique_and_words_recur_as_asked(first, last):
    names = list(make_world(recommended(WorldSettings, first_name_uses=first, last_name_uses=last), 3).entities())
    words = [name[2].split() for name in names]
    assert len({tuple(pair) for pair in words}) == 128
    assert len({pair[0] for pair in words}) == 128 // first
    assert len({pair[1] for pair in words}) == 128 // last


def test_names_that_cannot_be_unique_are_refused():
    with pytest.raises(PipelineError, match="too high for unique full names"):
        make_world(recommended(WorldSettings, first_name_uses=64, last_name_uses=64), 0)


def test_more_domains_than_words_are_refused():
    with pytest.raises(PipelineError, match=r"`world\.domains` is 9"):
        make_world(recommended(WorldSettings, domains=9), 0)


def test_templates_of_a_fact_are_split_without_overlap(world):
    for fact in world.facts[:50]:
        chosen = assign(fact, seed=0)
        assert sorted(chosen.train + chosen.dev + chosen.test) == list(range(len(TEMPLATES)))
        assert (len(chosen.train), len(chosen.dev), len(chosen.test)) == (5, 2, 2)


def test_no_training_document_tells_a_fact_in_a_held_out_or_new_template(world):
    text = " ".join(document.text for document in islice(Writer(world, 0, 0).any(0.3), 2000))
    for fact in world.facts:
        chosen = assign(fact, seed=0)
        for i in chosen.dev + chosen.test:
            assert prompt(fact, TEMPLATES[i]) + " " not in text
        for template in NOVEL:
            assert prompt(fact, template) not in text
    assert sum(prompt(f, TEMPLATES[assign(f, 0).train[0]]) in text for f in world.facts) > 500, "training ones are told"


def test_new_templates_use_words_that_training_text_has(world):
    known = {word for document in islice(Writer(world, 0, 0).any(0.3), 2000) for word in document.text.split()}
    assert {word for _, template in NOVEL for word in template.replace("{r}", "").replace("{e}", "").split()} <= known


def test_options_hold_the_answer_once_among_four_of_its_pool(world):
    for probe in islice(fact_probes(world, 0), 200):
        assert len(set(probe["options"])) == 4
        assert probe["options"].count(probe["answer"]) == 1
    places = [probe["options"].index(probe["answer"]) for probe in fact_probes(world, 0)]
    assert all(0.2 < places.count(place) / len(places) < 0.3 for place in range(4)), "the place says nothing"


def test_general_probes_are_split_in_halves():
    splits = [probe["split"] for probe in general_probes(0)]
    assert splits.count("dev") == splits.count("test") == len(general_facts()) // 2 == 32


def test_the_same_seed_writes_the_same_files_and_another_seed_others(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_world(SMALL, seed, tmp_path / name)
    contents = {name: {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "abc"}
    assert contents["a"] == contents["b"]
    assert contents["a"]["train.jsonl"] != contents["c"]["train.jsonl"]


def test_files_have_the_agreed_form(tmp_path: Path):
    corpus = write_world(SMALL, 0, tmp_path)
    assert corpus == json.loads((tmp_path / "corpus.json").read_text())
    assert [len(corpus["nodes"][level]) for level in ("domain", "topic", "entity")] == [2, 4, 16]
    tokens = sum(len(row["text"].split()) + 1 for row in read_jsonl(tmp_path / "train.jsonl"))
    assert 3000 <= tokens < 3200
    assert {row["split"] for row in read_jsonl(tmp_path / "texts.jsonl")} == {"train", "dev", "test"}
    assert {row["split"] for row in read_jsonl(tmp_path / "probes.jsonl")} == {"train", "dev", "test", "novel"}
    assert set(next(read_jsonl(tmp_path / "probing.jsonl"))) == {"dataset", "label", "text", "split"}


def test_few_shot_labels_only_a_share_of_each_topics_entities(tmp_path: Path):
    settings = SMALL.but(labelled_share=0.25)
    write_world(settings, 0, tmp_path)
    train = {tuple(row["path"]) for row in read_jsonl(tmp_path / "probes.jsonl") if row["split"] == "train"}
    test = {
        tuple(row["path"]) for row in read_jsonl(tmp_path / "probes.jsonl") if row["split"] == "test" and row["path"]
    }
    assert (len(train), len(test)) == (4, 16), "one of four entities a topic is labelled, all are tested"


def test_the_pool_tells_of_every_entity_and_names_no_topic(tmp_path: Path):
    write_world(SMALL, 0, tmp_path)
    pool = list(read_jsonl(tmp_path / "pool.jsonl"))
    notes = [row for row in pool if row["path"]]
    world = make_world(SMALL, 0)
    assert {tuple(row["path"]) for row in notes} == set(world.entities())
    assert len(notes) == 4 * len(world.entities()) and len(pool) > len(notes)
    named = {word for path in world.topics() for word in path}
    assert not any(named & set(row["text"].split()) for row in notes)
    assert all(row["path"][2] in row["text"] for row in notes)
