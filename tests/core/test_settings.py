"""params.yaml and overlays: what is merged in which order, and every fault as one sentence that names file and key."""

from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import PipelineError
from pipeline.core.files import contents
from pipeline.core.settings import RunSettings, parse, read_yaml
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.params import Params, as_yaml, merge, resolve
from pipeline.saebench.requests import bench_settings
from pipeline.unlearning.settings import UnlearningSettings
from stages import params as stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working directory."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text("run:\n  seed: 1\nsae:\n  k: 8\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overlay(name: str, text: str) -> None:
    Path(f"runs/{name}.yaml").write_text(text)


def resolved(name: str | None):
    return resolve(Path("params.yaml"), Path("runs"), name)


# ---- the repository's own files


def test_params_yaml_is_the_recommended_configuration_with_every_key() -> None:
    """The file documents each key; the dataclasses hold the same values, for a file that lacks one."""
    content = read_yaml(ROOT / "params.yaml")
    assert parse(Params, content, "") == Params()
    complete = yaml.safe_load(as_yaml(Params(), {}))
    assert _keys(content) == _keys(complete) - {"inputs"}


def _keys(mapping: dict, prefix: str = "") -> set[str]:
    inner = [_keys(value, f"{prefix}{key}.") for key, value in mapping.items() if isinstance(value, dict)]
    return {f"{prefix}{key}" for key in mapping}.union(*inner)


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "runs").glob("*.yaml")))
def test_every_overlay_of_the_repository_is_valid(name: str) -> None:
    assert f"runs/{name}.yaml applied" in resolve(ROOT / "params.yaml", ROOT / "runs", name).sentence


def test_a_level_may_have_more_methods_than_the_others() -> None:
    settings = UnlearningSettings(methods=("subtree", "grad_diff"), more_methods={"topic": ("level_cut", "subtree")})
    assert settings.methods_at("domain") == ("subtree", "grad_diff")
    assert settings.methods_at("topic") == ("subtree", "grad_diff", "level_cut"), "each once"


def test_all_planned_runs_are_there() -> None:
    assert {f"run_{i}" for i in range(8)} <= {file.stem for file in (ROOT / "runs").glob("*.yaml")}


# ---- merging


def test_a_run_without_an_overlay_uses_params_yaml_and_says_so(project: Path) -> None:
    assert resolved("run_9").params == parse(Params, {"run": {"seed": 1}, "sae": {"k": 8}}, "")
    assert resolved("run_9").sentence == "configuration of run_9: params.yaml as it is (there is no runs/run_9.yaml)"
    assert resolved(None).sentence == "configuration: params.yaml as it is (no run is selected)"


def test_an_overlay_replaces_only_its_keys(project: Path) -> None:
    overlay("run_1", "sae: {d_sae: 64}")
    params = resolved("run_1").params
    assert (params.sae.d_sae, params.sae.k, params.run.seed) == (64, 8, 1)
    assert resolved("run_1").sentence == "configuration of run_1: params.yaml, with runs/run_1.yaml applied"


def test_extended_overlays_come_first_in_order_and_each_once(project: Path) -> None:
    overlay("base", "sae: {d_sae: 64, steps: 60}")
    overlay("a", "extends: [base]\nsae: {d_sae: 128}")
    overlay("b", "extends: [base]\nsae: {k: 4}")
    overlay("run_1", "extends: [a, b]\nsae: {k: 2}")
    sae = resolved("run_1").params.sae
    assert (sae.d_sae, sae.steps, sae.k) == (128, 60, 2)  # base, behind b again, does not undo a
    assert "runs/base.yaml and runs/a.yaml and runs/b.yaml, with runs/run_1.yaml applied" in resolved("run_1").sentence


def test_lists_are_replaced_and_sections_merged() -> None:
    below = {"a": {"list": [1, 2], "kept": 0}, "b": 1}
    assert merge(below, {"a": {"list": [3]}}) == {"a": {"list": [3], "kept": 0}, "b": 1}
    assert below["a"]["list"] == [1, 2]  # untouched


def test_a_section_whose_keys_are_all_commented_out_is_empty(project: Path) -> None:
    overlay("run_1", "sae:\n  # k: 4\n")
    assert resolved("run_1").params.sae.k == 8


def test_what_only_a_middle_layer_makes_impossible_is_fine(project: Path) -> None:
    overlay("wide", "sae: {k: 2000}")  # above the default d_sae, until the next line
    overlay("run_1", "extends: [wide]\nsae: {d_sae: 4096}")
    assert resolved("run_1").params.sae.k == 2000


def test_the_resolved_file_reads_back_as_the_same_configuration(project: Path) -> None:
    params = resolved(None).params
    Path("again.yaml").write_text(as_yaml(params, {"some/file": "abc"}))
    content = read_yaml(Path("again.yaml"))
    assert content.pop("inputs") == {"some/file": "abc"}
    assert parse(Params, content, "") == params


# ---- faults

FAULTS = [
    # overlay, the sentence after "runs/run_1.yaml"
    ("sea: {k: 4}", ": unknown key `sea`; did you mean `sae`?"),
    ("sae: {kk: 4}", ": unknown key `sae.kk`; did you mean `k`?"),
    ("language_model: {tiny: {layer: 3}}", ": unknown key `language_model.tiny.layer`; did you mean `layers`?"),
    ("sae: {k: four}", ": `sae.k` is 'four'; it must be a whole number"),
    ("sae: {k: 4.0}", ": `sae.k` is 4.0; it must be a whole number"),
    ("sae: {k: true}", ": `sae.k` is True; it must be a whole number"),
    ("sae: {learning_rate: .nan}", ": `sae.learning_rate` is nan; it must be a finite number"),
    ("sae: {architecture: vanilla}", ": `sae.architecture` is 'vanilla'; it must be one of"),
    ("sae: 4", ": `sae` must be a section of `key: value` lines, not 4"),
    ("corpus: {levels: topic}", ": `corpus.levels` is 'topic'; it must be a list"),
    ("sae: {k: 2000}", ": `sae`: k is 2000; it must lie between 1 and d_sae (1024)"),
    ("dendrogram: {threshold: 1.5}", ": `dendrogram`: threshold is 1.5; it must be a correlation between 0 and 1"),
    ("activations: {layer: 4}", ": `activations.layer` is 4, but the model trained here has 4 layers; it must be 0 to"),
    ("unlearning: {targets: {topc: 1}}", ": `unlearning.targets` names the level `topc`, which `corpus.levels` lacks"),
    ("unlearning: {targets: {topic: 16}}", ": `unlearning.targets.topic` is 16, but this world has 16 nodes of that"),
    ("world: {domains: 2, topics_per_domain: 2}", ": `unlearning.targets.topic` is 5, but this world has 4 nodes of"),
    ("unlearning: {more_methods: {topc: []}}", ": `unlearning.more_methods` names the level `topc`"),
    ("unlearning: {more_methods: {topic: [x]}}", ": `unlearning.more_methods.topic[0]` is 'x'; it must be one of"),
    ("run: {seed: 1}\nrun: {seed: 2}", " is not valid YAML: line 2: the key `run` appears twice in one section"),
    ("run: {seed: 1", " is not valid YAML: while parsing a flow mapping"),
    ("- run", " must hold `key: value` lines, not a list"),
    ("extends: run_2", ": `extends` is 'run_2'; it must be a list of names of files in runs/"),
    ("extends: [run_l]", " extends `run_l`, which is not in runs/; did you mean `run_1`?"),
    ("extends: [run_1]", " extends itself: run_1 -> run_1; remove one `extends`"),
    ("corpus: {extends: [run_1]}", ": unknown key `corpus.extends`"),  # only at the top
]


@pytest.mark.parametrize(("text", "sentence"), FAULTS)
def test_a_fault_is_one_sentence_with_the_file_and_nothing_is_written(project: Path, text: str, sentence: str) -> None:
    overlay("run_1", text)
    Path("data/run").write_text("run_1\n")
    with pytest.raises(PipelineError) as refused:
        stage.main()
    assert str(refused.value).startswith(f"runs/run_1.yaml{sentence}")
    assert "\n" not in str(refused.value)
    assert not Path("data/params.yaml").exists()


def test_a_fault_in_params_yaml_or_below_is_not_blamed_on_the_overlay(project: Path) -> None:
    overlay("base", "sae: {k: 2000}")
    overlay("run_1", "extends: [base]\nrun: {seed: 3}")
    with pytest.raises(PipelineError, match=r"^runs/base.yaml: `sae`: k is 2000"):
        resolved("run_1")
    Path("params.yaml").write_text("extends: [base]")
    with pytest.raises(PipelineError, match=r"^params.yaml: unknown key `extends`"):
        resolved("run_1")
    Path("params.yaml").unlink()
    with pytest.raises(PipelineError, match=r"params.yaml is missing"):
        resolved(None)


def test_a_cycle_of_extends_is_named(project: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        overlay(name, f"extends: [{other}]")
    with pytest.raises(PipelineError, match="a -> b -> c -> a"):
        resolved("a")


@pytest.mark.parametrize("text", ["3e-4", "3.0e-4", "0.0003", "+3E-04"])
def test_a_number_may_be_written_as_people_write_it(project: Path, text: str) -> None:
    """PyYAML takes ``3e-4`` for text."""
    overlay("run_1", f"sae: {{learning_rate: {text}}}")
    assert resolved("run_1").params.sae.learning_rate == 0.0003


def test_text_that_only_resembles_a_number_stays_text(project: Path) -> None:
    overlay("run_1", "language_model: {source: train, revision: 3e4b}")
    assert resolved("run_1").params.language_model.revision == "3e4b"


# ---- the stage


def test_the_stage_writes_the_selected_configuration(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay("run_1", "sae: {d_sae: 64}")
    Path("data/run").write_text("run_1\n")
    stage.main()
    assert capsys.readouterr().out == "configuration of run_1: params.yaml, with runs/run_1.yaml applied\n"
    written = read_yaml(Path("data/params.yaml"))
    assert (written["sae"]["d_sae"], written["sae"]["k"], written["inputs"]) == (64, 8, {})


LOCAL = """
language_model: {source: ./model}
corpus:
  source: files
  levels: [author]
  training_text: [{file: a.jsonl}]
  texts: [{file: a.jsonl}]
  probes: [{file: a.jsonl}]
"""


def local_model(layers: int) -> None:
    Path("model").mkdir()
    Path("model/config.json").write_text(f'{{"num_hidden_layers": {layers}}}')
    for name in ("tokenizer.json", "model.safetensors"):
        Path("model", name).touch()


def test_a_changed_local_file_changes_the_resolved_configuration(project: Path) -> None:
    local_model(layers=2)
    overlay("run_1", LOCAL)
    Path("data/run").write_text("run_1\n")
    Path("a.jsonl").write_text('{"text": "one"}\n')
    stage.main()
    first = read_yaml(Path("data/params.yaml"))
    Path("a.jsonl").write_text('{"text": "two"}\n')
    stage.main()
    second = read_yaml(Path("data/params.yaml"))
    changed = {key for key in first["inputs"] if first["inputs"][key] != second["inputs"][key]}
    assert (set(first["inputs"]), changed) == ({"a.jsonl", "model"}, {"a.jsonl"})
    assert {key for key in first if first[key] != second[key]} == {"inputs"}


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda: Path("a.jsonl").unlink(), "corpus file a.jsonl is missing"),
        (lambda: Path("a.jsonl").write_text(""), "corpus file a.jsonl is empty"),
        (lambda: Path("model/tokenizer.json").unlink(), "model folder model has no tokenizer"),
        (lambda: Path("model/config.json").write_text('{"n_layer": 1}'), "`activations.layer` is 1, but ./model has 1"),
    ],
)
def test_missing_inputs_and_a_layer_beyond_the_model_stop_before_any_stage(project: Path, broken, sentence) -> None:
    local_model(layers=2)
    overlay("run_1", LOCAL)
    Path("data/run").write_text("run_1\n")
    Path("a.jsonl").write_text('{"text": "one"}\n')
    broken()
    with pytest.raises(PipelineError, match=sentence.replace("(", r"\(")):
        stage.main()
    assert not Path("data/params.yaml").exists()


def test_fingerprints_follow_the_content_not_the_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("same")
    before = contents([tmp_path / "a", tmp_path])
    (tmp_path / "a").write_text("same")
    assert contents([tmp_path / "a", tmp_path]) == before
    (tmp_path / "a").write_text("more")
    assert not set(contents([tmp_path / "a", tmp_path]).values()) & set(before.values())


def test_sae_bench_takes_its_settings_from_the_section() -> None:
    found = bench_settings(EvaluationSettings(core_batches=3), RunSettings(seed=5), "cpu")
    assert (found.core_sparsity_batches, found.seed, found.k_values) == (3, 5, (1, 2, 5, 10, 20, 50))
