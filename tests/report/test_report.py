"""The report: final_info's form, names for groups, figures, and a page that nothing planted in text can break."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.report import tables
from pipeline.report.final_info import collect
from pipeline.report.finding import finding, main_level, passages
from pipeline.report.meanings import meaning
from pipeline.report.methods import absent, in_order
from pipeline.report.metrics import metrics, trade_off_rows, training_rows
from pipeline.report.pictures import legend_lines
from pipeline.report.reading import named
from pipeline.report.verdict import chosen_methods, verdict
from pipeline.saebench.results import seed_metrics
from tests.support.report_files import DROPS, PLANTED, write_all
from tests.support.report_page import Written, read, reading_of, write_page, written_page


@pytest.fixture(scope="module")
def made() -> Written:
    return written_page()


class Reader(HTMLParser):
    """The tags and the text of a page, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += f" {data}"


def parsed(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_final_info_has_the_required_form(made: Written) -> None:
    evidence = read(made.data)
    final_info = json.loads(json.dumps(collect(evidence.entries, evidence.sae_bench, evidence.baselines.seed)))
    assert set(final_info) >= {
        "language_model",
        "sae",
        "hierarchy",
        "unlearning/none/topic",
        "unlearning/subtree/entity",
    }
    for entry in final_info.values():
        assert set(entry) == {"means", "stderrs", "final_info_dict"}
        assert entry["final_info_dict"] == {name: [value] for name, value in entry["means"].items()}
        assert all(type(value) is float for value in [*entry["means"].values(), *entry["stderrs"].values()])
    assert final_info["sae_bench/sparse_probing"]["means"] == {"sae_top_1_test_accuracy": 0.71}


def test_the_seeds_baseline_is_unchanged_and_lacks_what_was_not_computed(root: Path) -> None:
    seed = seed_metrics(root / "data/baselines/sparse_probing_vanilla_sae.json")
    means = collect({}, {}, seed)["seed_baseline/sparse_probing"]["means"]
    assert means["llm_test_accuracy"] == 0.939325
    assert {value for name, value in means.items() if name.startswith("sae_")} == {0.5}
    assert "sae_top_100_test_accuracy" not in means


def test_the_corrected_unlearning_score_is_there_for_every_ranking() -> None:
    score = {
        "published": 0.4,
        "score": 0.3,
        "score_interval": [0.2, 0.396],
        "calibrated": 0.1,
        "setting": {"name": "a"},
    }
    none = {"published": 0.0, "score": 0.0, "calibrated": 0.0, "setting": None}
    entries = collect({}, {"unlearning_corrected": {"sae": score, "subtree_topic": none}}, {})
    own = entries["sae_bench/unlearning_corrected"]
    assert own["means"] == {"published": 0.4, "score": 0.3, "calibrated": 0.1}
    assert own["stderrs"] == pytest.approx({"score": 0.05})
    assert entries["sae_bench/unlearning_corrected/subtree_topic"]["stderrs"] == {}


def test_final_info_refuses_strange_names_and_numbers() -> None:
    with pytest.raises(PipelineError, match="'mystery', which has no place"):
        collect({"mystery": {"means": {}, "stderrs": {}}}, {}, {})
    with pytest.raises(PipelineError, match="sae: l0 is nan"):
        collect({"sae": {"means": {"l0": float("nan")}, "stderrs": {}}}, {}, {})


def test_planted_html_is_text(made: Written) -> None:
    """It stands in the corpus' source, a group's words, a level's node, a failed eval, a stage's summary, a setting."""
    reader = parsed(made.html)
    assert [attrs.get("type") for tag, attrs in reader.tags if tag == "script"] == [
        *["application/json"] * 3,
        None,
    ]  # ours
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert all(attrs["src"].startswith("data:image/png;base64,") for tag, attrs in reader.tags if tag == "img")
    assert reader.words.count(PLANTED) >= 5
    assert "<b>d0</b>" in reader.words


def test_the_page_needs_no_other_file(made: Written) -> None:
    html = made.html
    assert len(html) < 5e6
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert not re.search(r"url\(|@import", html)
    assert """content="default-src 'none'; img-src data:""" in html


def test_the_page_says_what_matters(made: Written) -> None:
    words = re.sub(r"\s+", " ", parsed(made.html).words)
    for said in (
        "run_9: forgetting the entity t$1$",
        "Made 2026-01-02 from commit abc1234, seed 3.",
        "guard_flat, the best guard, takes the entity <b>d0</b> / t$1$ from 99% to 47% multiple-choice accuracy",
        "sibling entities lose 12.5 points, other entities 1.0.",
        "forgotten; heavy damage to its siblings (12.5 points)",
        "subtree the best clamp, the tree's own clamp 27 ± 4",
        "no: it blocks",
        "Guards block, they do not erase",
        "subtree clamps 2 groups, 3 of 6 latents. Together they take the facts",
        "node 6 (2 latents): 100 % of its activation is on the target.",
        "this run does not ask for it at level topic",
        "Not measured in this run: few shots",
        "other half completed after 10 steps subtree 0.250",
        "It was not trained",
        "world_domain accuracy with the best 1 0.900 0.710",
        "stability 0.800 - agreement with the same cut on resampled documents",
        "explained variance 0.800",
        "this run 0.710",
        "score, corrected 0.123",
        f"vanilla {PLANTED} 0.660",
        "layer 19",
        "27.0 ± 3.9",
        "Seed 3",
        "random_groups",
        "agree most at r ≥ 0.85 (1 group)",
        f"0 4 0.250 - {PLANTED}",  # the group that coheres
        "2 latents imply a more frequent one",
        "5 2 0.50 0.75 0, 1",  # latent 5, which two imply
        "12.5 ± 0.0 1.0 ± 0.0 0.5 ± 0.0",  # losses
        "subtree 3 1.5 0.12",  # latents, seconds, the area of the sweep
        f"prepare, evaluate threads 1, device {PLANTED}",
    ):
        assert said in words, said


def test_figures_are_written_as_png_and_svg(made: Written) -> None:
    names = ["dendrogram", "training", "tree_in_training"]
    names += [f"tradeoff_{level}_{asked}" for level in ("topic", "entity") for asked in ("cloze", "mcq")]
    assert {path.name for path in made.figures.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    assert all(path.stat().st_size > 2000 for path in made.figures.iterdir())


def test_without_general_text_siblings_sweeps_or_sae_bench(tmp_path: Path) -> None:
    """TOFU has one level, and a corpus may lack what damage is measured on."""
    write_all(tmp_path, levels=("author",), drops={})
    shutil.rmtree(tmp_path / "evaluation/sae_bench")
    (tmp_path / "evaluation/hierarchy.json").unlink()
    html = write_page(tmp_path, tmp_path / "report")
    assert "damage was not measured" in html and "sae-bench was not run" in html
    assert not list((tmp_path / "report").glob("tradeoff*"))


def test_words_of_groups_are_those_of_their_tokens(made: Written) -> None:
    names = named(read(made.data), reading_of(made.data), 24, 6)
    assert [(row.level, row.latents) for row in names.chosen] == [
        (lv, g) for lv in ("topic", "entity") for g in ([0, 1], [5])
    ]
    assert set(names.chosen[0].words) == {"river", PLANTED}
    assert names.chosen[1].words[0] == "the"
    ((latent, words, edges),) = names.general
    assert (latent, words[0], len(edges)) == (5, "the", 2)


BEFORE = {"forget_cloze": 1.0, "forget_mcq": 0.9}, {"forget_mcq": 0.02}


@pytest.mark.parametrize(
    ("cloze", "choice", "stderr", "forgot"),
    [
        (0.05, 0.25, 0.01, "forgotten"),
        (0.05, 0.02, 0.05, "pushed below chance"),  # a leak too: the answer is known well enough to be avoided
        (0.05, 0.10, 0.09, "forgotten (but the probes are few)"),  # ten probes: 25 % lies within the interval
        (0.05, 0.80, 0.01, "no longer completed, but still recognised"),
        (0.05, 0.35, 0.066, "too few to tell"),  # .35 and .375 of eighty probes are one result, and one verdict
        (0.05, 0.375, 0.061, "too few to tell"),
        (0.05, 0.35, 0.02, "no longer completed, but still recognised"),  # the same share of many more
        (0.05, 0.20, 0.18, "too few to tell"),  # ten probes: nearly anything lies within the interval
        (0.40, 0.80, 0.01, "partly forgotten"),
        (0.90, 0.95, 0.01, "still known"),
    ],
)
def test_verdict_on_forgetting(cloze: float, choice: float, stderr: float, forgot: str) -> None:
    means = {"forget_cloze": cloze, "forget_mcq": choice}
    assert forgot in verdict(means, {"forget_mcq": stderr}, *BEFORE).forgot


@pytest.mark.parametrize(("known", "stderr"), [(0.26, 0.02), (0.35, 0.06), (0.10, 0.01)])
def test_what_was_not_known_is_not_forgotten(known: float, stderr: float) -> None:
    """The tiny model of a poor corpus guesses before the edit and after it: that is no success."""
    before = {"forget_cloze": 0.0, "forget_mcq": known}, {"forget_mcq": stderr}
    found = verdict({"forget_cloze": 0.0, "forget_mcq": 0.25}, {"forget_mcq": 0.01}, *before)
    assert found.forgot.startswith("not judged: the unedited model's answers about it are not clear of chance")


def test_a_lost_word_is_told_from_a_forgotten_fact() -> None:
    before, stderrs = BEFORE
    gone = {"forget_cloze": 0.0, "forget_mcq": 0.25}
    known = {**before, "forget_copying_mcq": 0.9}
    assert "word" not in verdict(gone | {"forget_copying_mcq": 0.75}, {}, known, stderrs).forgot
    found = verdict(gone | {"forget_copying_mcq": 0.2}, {}, known, stderrs).forgot
    assert found == "forgotten; the word went too: it repeats the name in 20% of the sentences that say it, 90% before"
    assert "the word suffered too" in verdict(gone | {"forget_copying_mcq": 0.6}, {}, known, stderrs).forgot
    assert "word" not in verdict(gone | {"forget_copying_mcq": 0.7}, {}, known, stderrs).forgot, "20 points"
    assert "word" not in verdict(gone, {}, *BEFORE).forgot, "nothing is said where copying is not asked"


def test_verdict_on_damage() -> None:
    def broke(**drops: float) -> str:
        return verdict({"forget_cloze": 0.0, "forget_mcq": 0.25, **drops}, {}, *BEFORE).broke

    assert broke(**DROPS) == "heavy damage to its siblings (12.5 points)"
    assert broke(sibling_drop=3, other_drop=4) == (
        "some damage to its siblings (3.0 points) and other knowledge (4.0 points)"
    )
    assert broke(other_drop=26.8, general_drop=9.4) == (
        "heavy damage to other knowledge (26.8 points), some to general knowledge (9.4 points)"
    )
    assert broke(sibling_drop=-1.0) == "hardly any damage"
    assert broke() == "damage was not measured"


def test_the_headline_picks_by_dev_objective_and_never_a_control(made: Written) -> None:
    chosen = chosen_methods(read(made.data), "topic")
    assert list(chosen.items()) == [
        ("guard_flat", "the best guard"),
        ("subtree", "the best clamp, the tree's own clamp"),
    ]


def test_every_kind_has_a_line_below_a_still_picture() -> None:
    many = ["none", "subtree", "level_cut", "guard_flat", "npo", "random_groups"]
    assert [(line.kind, line.text) for line in legend_lines(many)] == [
        ("reference", "before any edit: 1 none"),
        ("clamp", "clamps (act at inference): 2 subtree, 3 level_cut"),
        ("guard", "guards (block, do not erase): 4 guard_flat"),
        ("weights", "weight edits (persistent): 5 npo"),
        ("control", "controls: 6 random_groups"),
    ]


def test_the_first_screen(made: Written) -> None:
    evidence = read(made.data)
    assert main_level(evidence) == "entity"  # as many methods as at the topic, and finer
    first, rival = finding(evidence, "topic").split(". ")
    assert first.startswith("guard_flat, the best guard, takes the topic") and "from 99% to 47%" in first
    assert rival == (
        "subtree, the best clamp, the tree's own clamp, which acts at inference only, leaves 27%; sibling topics lose "
        "12.5 points, other topics 1.0."
    ), "it forgot where the first did not"
    (passage,) = passages(evidence, "topic")
    assert (passage.about, passage.before) == ("the target", PLANTED)
    assert passage.after == [("guard_flat", "the river"), ("subtree", "the river")]


def test_ranges_over_fits_stand_beside_those_over_facts(made: Written) -> None:
    evidence = read(made.data)
    assert tables.refits(evidence, "topic") is None, "other corpora have no study of refits"
    known = {"fits": 50, "forget_mcq": [0.16, 0.44], "sibling_drop": [1.7, 82.1], "other_drop": [19.0, 43.2]}
    baselines = evidence.baselines._replace(refits={"topic": {"guard_flat": known}})
    evidence = dataclasses.replace(evidence, baselines=baselines)
    assert (
        " On other topics and in other worlds nine of ten of 50 fits left 16% to 44%; sibling topics lost 1.7 to 82.1 "
        "points, other topics lost 19.0 to 43.2 points. Smaller differences mean nothing." in finding(evidence, "topic")
    )
    assert "nine of ten" not in finding(evidence, "entity")
    found = tables.refits(evidence, "topic")
    assert found.rows == [["guard_flat", "50", "16.0 to 44.0", None, "1.7 to 82.1", "19.0 to 43.2", None]]


def test_metrics_are_flat_and_few(made: Written) -> None:
    evidence = read(made.data)
    found = metrics(evidence)
    assert all(type(value) is float for value in found.values()) and len(found) < 40
    assert found["sae.explained_variance"] == 0.8
    assert found["entity.guard.other_drop"] == found["entity.tree.other_drop"] == 1.0
    assert "topic.guard.forget_mcq" not in found and found["topic.tree.forget_mcq"] == 0.27
    assert training_rows(evidence).splitlines()[:2] == [
        "step,explained_variance,l0,dead_share,loss",
        "1,0.1,3.0,0.0,1.0",
    ]
    assert "subtree,clamp,0.27,12.5,1.0,0.5" in trade_off_rows(evidence)


def test_every_figure_of_a_committed_run_has_words(root: Path) -> None:
    figures = json.loads((root / "docs/runs/run_7/final_info.json").read_text(encoding="utf-8"))
    names = {name for entry in figures.values() for name in entry["means"]}
    assert not [name for name in names if not meaning(name).says]
    assert meaning("domain_ami_null_level_2").label == "agreement with the true tree (domain)"


def test_the_data_of_the_tree_cannot_end_their_block(made: Written) -> None:
    block = made.html.split('id="tree-data">')[1].split("</script>")[0]
    assert "<" not in block
    assert PLANTED in json.loads(block)["text"]


def test_a_method_that_is_absent_says_why() -> None:
    asked = {"methods": ["subtree", "npo"], "more_methods": {"topic": ["rmu"]}}
    reasons = absent(["none", "subtree"], "topic", asked)
    assert reasons["npo"] == reasons["rmu"] == "asked for in params.yaml, but it left no edit of a topic"
    assert "does not ask for it at level topic" in reasons["gates_flat"] and "subtree" not in reasons
    assert "does not ask for it" in absent(["none"], "entity", asked)["rmu"]


def test_methods_stand_by_category() -> None:
    assert in_order(["npo", "random_groups", "newcomer", "guard_flat", "none", "subtree"]) == [
        "none",
        "subtree",
        "newcomer",  # unknown: nothing more than a clamp is promised of it
        "guard_flat",
        "npo",
        "random_groups",
    ]
