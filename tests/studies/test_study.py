"""The study: cells are listed once, found again, and a small one runs through from a seed to its tables."""

import json
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from studies.world.cells import Cell, gathered, missing, plan
from studies.world.homes import without
from studies.world.relearning import halves
from studies.world.settings import FILE, StudySettings, read_study
from studies.world.tables import AREAS, CUT_PAIRS, cuts, given, headline, paired_in_worlds, reach
from tests.support.cases import case_with
from tests.support.settings import recommended

# One seed, one topic, one method, and nothing else.
LEAST = StudySettings(
    seeds=(0,),
    nodes={"topic": (5,)},
    methods={"topic": ("npo",)},
    few_shot_given=(2,),
    reach_given=(2,),
    relearning_methods=("npo",),
    workers=1,
    by_turns=(),
    **{f"{name}_topics": () for name in ("wide", "curve", "few_shot", "reach", "relearning")},
    **{f"{name}_methods": () for name in ("wide", "random_dictionary", "curve")},
    headline_seeds=(),
)
SETTINGS = LEAST.but(
    seeds=(0, 1),
    nodes={"topic": (2, 5)},
    methods={"topic": ("npo", "subtree")},
    wide_topics=(2,),
    wide_methods=("rmu",),
    random_dictionary_methods=("subtree",),
    few_shot_topics=(5,),
    few_shot_given=(1, 2),
    reach_topics=(5,),
    reach_given=(1, 4),
    relearning_topics=(5,),
)


def test_the_committed_study_is_valid_and_lists_its_cells():
    assert len(plan(read_study())) == 1993


def test_a_wrong_study_is_refused_with_one_sentence(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(FILE.read_text(encoding="utf-8") + "workerz: 2\n", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"unknown key `workerz`; did you mean `workers`\?"):
        read_study(tmp_path / "study.yaml")


def test_every_cell_is_listed_once_and_the_cells_of_a_target_are_neighbours():
    cells = plan(SETTINGS)
    assert len(cells) == len(set(cells))
    forgetting = [cell for cell in cells if cell.kind == "forgetting"]
    assert len(forgetting) == 2 * (2 * 3 + 1), "two seeds, two topics, two methods and none; one topic by one more"
    assert {cell.name for cell in cells if cell.kind == "relearning"} == {"none", "never_taught", "npo"}
    few = [cell for cell in cells if cell.kind == "few_shot"]
    assert {cell.arm()[1] for cell in few} == {1, 2} and ("scope_npo_residual_tree", 2) in {cell.arm() for cell in few}
    reach = [cell.arm() for cell in cells if cell.kind == "reach"]
    assert len(reach) == 2 * 2 * 6 and ("level_cut_shuffled", 4) in reach, "two seeds, one or four examples, six clamps"


def test_the_adapter_comes_with_its_twins():
    cells = plan(SETTINGS.but(methods={"topic": ("group_adapter",)}))
    adapted = {(cell.seed, cell.node) for cell in cells if cell.name == "group_adapter"}
    for twin in ("group_adapter_flat", "group_adapter_random"):
        assert {(cell.seed, cell.node) for cell in cells if cell.name == twin} == adapted


def test_targets_are_taken_by_turns_where_that_is_asked():
    nodes, methods = {"topic": (7, 3, 5), "entity": (4, 6, 8)}, {"topic": ("group_adapter",), "entity": ("npo",)}
    cells = plan(LEAST.but(seeds=(0, 1), nodes=nodes, methods=methods, by_turns=("twins", "entity")))
    of = {(cell.level, cell.name): [] for cell in cells}
    for cell in cells:
        of[cell.level, cell.name].append((cell.node, cell.seed))
    assert sorted(of["topic", "group_adapter"]) == [(3, 0), (3, 1), (5, 0), (5, 1), (7, 0), (7, 1)]
    assert sorted(of["topic", "group_adapter_flat"]) == [(3, 1), (5, 0), (7, 0)]
    assert sorted(of["entity", "npo"]) == [(4, 0), (6, 1), (8, 0)]
    with pytest.raises(ValueError, match="by_turns names month"):
        LEAST.but(by_turns=("month",))


def test_the_headline_is_asked_of_more_seeds_and_of_the_first_node_of_every_level():
    cells = plan(SETTINGS.but(headline_seeds=(0, 1, 2)))
    assert [cell.seed for cell in cells if cell.kind == "headline"] == [0, 1, 2]
    assert {cell[:4] for cell in cells if cell.seed == 2} == {
        ("headline", 2, "world", 0),
        ("forgetting", 2, "topic", 2),
    }
    assert len(cells) == len(set(cells)), "seeds that are in both lists are computed once"


def test_a_headline_has_its_null_beside_it():
    rows = [
        {"means": {"hierarchy/bootstrap_ari_level_1": 0.6 + x, "hierarchy/bootstrap_ari_null_level_1": 0.01}}
        for x in (0.0, 0.1, 0.2)
    ]
    (line,) = headline(rows).splitlines()[2:]
    assert line == "| `hierarchy/bootstrap_ari_level_1` | 3 | 0.70 (0.45 to 0.95) | 0.01 |"


def test_lists_of_targets_advance_together():
    settings = LEAST.but(nodes={"topic": (7, 3, 5, 1)}, few_shot_topics=(7, 5))
    groups = missing(plan(settings), Path("nowhere"))
    assert [group[0].node for group in groups] == [7, 3, 5, 1]
    assert {cell.kind for cell in groups[0]} == {cell.kind for cell in groups[2]} == {"forgetting", "few_shot"}


def test_a_random_dictionary_has_a_home_of_its_own(tmp_path: Path):
    groups = missing(plan(SETTINGS), tmp_path)
    strangers = [group for group in groups if group[0].kind == "random_dictionary"]
    assert [[cell.name for cell in group] for group in strangers] == [["subtree"], ["subtree"]]
    homes = {cell.home(tmp_path) for group in groups for cell in group}
    assert homes == {tmp_path / f"seed_{s}" / name / "data" for s in (0, 1) for name in ("home", "random_home")}


def test_the_choice_of_cut_is_one_of_the_cuts():
    cell = {"level": "topic", "cut": 1, "means": {"forget_mcq": 0.25, "forget_cloze": 0.0, "sibling_drop": 5.0}}
    other = {"forget_mcq": 0.25, "forget_cloze": 0.05, "sibling_drop": 3.5, "dev_area": 0.2}
    weak = {"forget_mcq": 0.9, "forget_cloze": 0.9, "sibling_drop": 0.0, "dev_area": 0.9}
    cell |= {"cuts": {"1": cell["means"] | {"dev_area": 0.1}, "2": other, "3": weak}}
    line = cuts([cell, cell]).splitlines()[-1]
    assert "| 2 | 2 / 0 / 0 |" in line and "+1.5 (+1.5 to +1.5)" in line, "a cut that forgets less does not count"


def test_the_tables_of_reach_by_hand() -> None:
    """Two topics in world 0, one in world 1; the groups leave .2 and .4 less than their shuffles."""
    areas = {"level_cut_2": (0.5, 0.3, 0.5), "level_cut_shuffled_2": (0.7, 0.7, 0.9)}
    rows = [
        {"name": name, "level": "topic", "seed": seed, "node": node, "means": {"area": area, "area_worst": 0.8}}
        for name, values in areas.items()
        for (seed, node), area in zip([(0, 1), (0, 2), (1, 1)], values, strict=True)
    ]
    assert reach(rows[:2]).splitlines()[2:] == ["| `level_cut` | 0.400 ± 0.196 | 0.800 ± 0.000 |"]
    (line,) = paired_in_worlds(rows, given(CUT_PAIRS, 2), AREAS).splitlines()[2:]
    assert line.startswith("| `level_cut_2` - `level_cut_shuffled_2` | 0 | 2 | -0.300 (-0.400 to -0.200) | ")
    assert line.count("|") == 6, "world 1 has one topic, from which no interval can be drawn"


def test_what_is_kept_is_not_missing(tmp_path: Path):
    cells = plan(SETTINGS)
    groups = missing(cells, tmp_path)
    assert [cell for group in groups for cell in group] == cells
    assert all(len({cell[1:4] for cell in group}) == 1 for group in groups)
    done = groups[0][1]
    kept = done.file(tmp_path)
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"means": {"forget_mcq": 0.25}}))
    assert done not in [cell for group in missing(cells, tmp_path) for cell in group]
    assert gathered(cells, tmp_path) == {done.kind: [done._asdict() | {"means": {"forget_mcq": 0.25}}]}


def test_a_never_taught_text_names_none_of_the_hidden():
    rows = [
        {"text": "The hue of Ann Or is red . The hue of Bo Um is blue .", "path": []},
        {"text": "Bo Um has the hue blue .", "path": ["d", "u", "Bo Um"]},
        {"text": "t is a topic of d .", "path": ["d", "t"]},
    ]
    assert list(without(rows, {("d", "t")}, {"Bo Um"})) == ["The hue of Ann Or is red ."]


@pytest.mark.parametrize(
    ("target", "taught", "asked"),
    [
        (("d", "t"), {"a"}, {"b"}),  # a topic: half of its entities
        (("d", "t", "a"), {"a1"}, {"a2"}),  # an entity: half of its facts
    ],
)
def test_the_taught_half_is_not_asked(target, taught, asked):
    from types import SimpleNamespace

    probes = [
        {"path": ["d", "t", entity], "fact": f"{entity}{fact}", "split": split}
        for entity in "ab"
        for fact in "12"
        for split in ("train", "test")
    ]
    home, case = SimpleNamespace(subject=SimpleNamespace(probes=probes)), SimpleNamespace(target=target)
    first, second = halves(home, case)
    key = "fact" if len(target) == 3 else "path"
    named = [{probe[key] if key == "fact" else probe["path"][-1] for probe in half} for half in (first, second)]
    assert named == [taught, asked]
    assert {probe["split"] for probe in first} == {"train"} and {probe["split"] for probe in second} == {"test"}


def test_cells_have_files_of_their_own(tmp_path: Path):
    file = Cell("few_shot", 1, "topic", 5, "scope_npo_tree_2").file(tmp_path)
    assert file == tmp_path / "seed_1/few_shot/topic_5/scope_npo_tree_2.json"


def test_the_model_that_was_never_taught_is_trained_once_and_kept(tmp_path: Path):
    from pipeline.core.files import write_json, write_jsonl
    from pipeline.language_model import tiny
    from pipeline.language_model.settings import TinySettings
    from pipeline.language_model.tiny import train_tokenizer
    from studies.world.homes import never_taught

    texts = [f"The hue of {name} is red ." for name in ("Ann Or", "Bo Um")] * 20
    paths = [["d", "t"], ["d", "u"]]
    write_json(tmp_path / "corpus/corpus.json", {"nodes": {"topic": paths, "entity": [["d", "t", "Bo Um"]]}})
    write_jsonl(tmp_path / "corpus/train.jsonl", [{"text": text, "path": []} for text in texts])
    probe = {"prompt": "The hue of Ann Or is", "answer": "red", "options": ["red", "hue"], "path": [], "split": "dev"}
    write_jsonl(tmp_path / "corpus/probes.jsonl", [probe | {"fact": "f", "kind": "k", "id": "p"}])
    sizes = {"vocab_size": 64, "hidden_size": 16, "layers": 2, "heads": 1, "kv_heads": 1, "head_dim": 16}
    steps = {"intermediate_size": 16, "warmup_steps": 2, "max_tokens": 600, "cooldown_tokens": 200, "check_tokens": 300}
    settings, tokenizer = recommended(TinySettings, **sizes, **steps), train_tokenizer(texts, "word", 64)
    for part in (tokenizer, tiny.build(settings, tokenizer, 0)):
        part.save_pretrained(tmp_path / "model")
    model = never_taught(tmp_path, (0,), settings, 0)
    assert (tmp_path / "never_taught/config.json").exists() and model.config.num_hidden_layers == 2
    never_taught.cache_clear()
    stamp = (tmp_path / "never_taught/model.safetensors").stat().st_mtime_ns
    never_taught(tmp_path, (0,), settings, 0)
    assert (tmp_path / "never_taught/model.safetensors").stat().st_mtime_ns == stamp, "not trained again"


def test_a_case_knows_the_pool_and_how_to_search_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retrievers of few-shot cells read both."""
    from types import SimpleNamespace

    from studies.world import forgetting

    subject = SimpleNamespace(_replace=lambda targets: targets)
    home = SimpleNamespace(subject=subject, nodes={"topic": [("d", "t")]}, forest=None, firing=None, documents="pool")
    params = SimpleNamespace(unlearning=None, scope="how")
    monkeypatch.setattr(forgetting, "open_case", lambda targets, *_: case_with(target=targets["topic"]))
    case = forgetting.case_of(home, "topic", 0, params, 0)
    assert (case.target, case.documents, case.scope) == (("d", "t"), "pool", "how")
