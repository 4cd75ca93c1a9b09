"""params.yaml and overlays: what is merged in which order, and every fault as one sentence that names file and key."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from pipeline.core.errors import PipelineError
from pipeline.core.faults import did_you_mean
from pipeline.core.files import contents
from pipeline.core.processes import MachineSettings
from pipeline.core.settings import Settings, parse
from pipeline.core.yaml_text import as_yaml, read_yaml
from pipeline.corpus.settings import TextSource, WorldSettings
from pipeline.corpus.world.knowledge import make_world
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.params import Params, merge, resolve
from pipeline.sae.settings import Variation
from pipeline.saebench.job import bench_settings
from pipeline.unlearning.settings import UnlearningSettings
from stages import params as stage
from tests.support.settings import recommended

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working directory."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "data").mkdir()
    text = (ROOT / "params.yaml").read_text().replace("  seed: 0 ", "  seed: 1 ").replace("  k: 16 ", "  k: 8 ")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_setting_stands_for_another() -> None:
    """`dvc exp run -S` changes a value in place, and with an anchor all that repeat it."""
    keys = [event for event in yaml.parse((ROOT / "params.yaml").read_text()) if getattr(event, "anchor", None)]
    assert not keys


def overlay(name: str, text: str) -> None:
    Path(f"runs/{name}.yaml").write_text(text)


def resolved(name: str | None):
    return resolve(Path("params.yaml"), Path("runs"), name)


# ---- the repository's own files


def test_params_yaml_holds_every_value_and_the_classes_none() -> None:
    """Two homes of a value drift apart. Only what stands in a list, a source say, may be left out there."""
    assert parse(Params, read_yaml(ROOT / "params.yaml"), "").run.seed == 0
    with_values = {cls.__name__ for cls in classes_of(Params) if any(not f.is_required() for f in fields(cls))}
    assert with_values == {"TextSource", "ProbeSource", "Variation"}


def test_at_most_two_hundred_leaf_keys() -> None:
    """What nobody turns is a named constant beside the code that uses it."""
    assert len(leaves(read_yaml(ROOT / "params.yaml"))) <= 200


def leaves(mapping: dict, prefix: str = "") -> list[str]:
    return [
        leaf
        for key, value in mapping.items()
        for leaf in (leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"])
    ]


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "runs").glob("*.yaml")))
def test_every_overlay_of_the_repository_is_valid(name: str) -> None:
    assert f"runs/{name}.yaml applied" in resolve(ROOT / "params.yaml", ROOT / "runs", name).sentence


def test_a_level_may_have_more_methods_than_the_others() -> None:
    more = {"topic": ("level_cut", "subtree")}
    settings = recommended(UnlearningSettings, methods=("subtree", "grad_diff"), more_methods=more)
    assert settings.methods_at("domain") == ("subtree", "grad_diff")
    assert settings.methods_at("topic") == ("subtree", "grad_diff", "level_cut"), "each once"


def test_all_planned_runs_are_there() -> None:
    assert {f"run_{i}" for i in range(8)} <= {file.stem for file in (ROOT / "runs").glob("*.yaml")}


# ---- merging


def test_a_run_without_an_overlay_uses_params_yaml_and_says_so(project: Path) -> None:
    assert resolved("run_9").params == parse(Params, read_yaml(Path("params.yaml")), "")
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
    Path("again.yaml").write_text(as_yaml({**params.plain(), "inputs": {"some/file": "abc"}}))
    content = read_yaml(Path("again.yaml"))
    assert content.pop("inputs") == {"some/file": "abc"}
    assert parse(Params, content, "") == params


# ---- faults

FAULTS = [
    ("run: {seed: 5_000_000_000}", ": `run.seed` is 5000000000; it must be below 4.29497e+09"),
    ("language_model: {source: ''}", ": `language_model.source` is ''; it must be train, a hub id, a folder"),
    ("language_model: {tiny: {head_dim: 31}}", ": `language_model.tiny`: head_dim is 31; it must be even"),
    (
        "language_model: {tiny: {hidden_size: 30}}",
        ": `language_model.tiny`: hidden_size (30) must be a multiple of heads (4)",
    ),
    ("language_model: {tiny: {vocab_size: 3}}", ": `language_model.tiny.vocab_size` is 3; it must be 8 or more"),
    ("sae: {pretrained: ' '}", ": `sae.pretrained` is ' '; it must be a folder, a file or repository:folder, or null"),
    (
        "activations: {also: [blocks.1.hook_resid_post]}",
        ": `activations`: also is blocks.1.hook_resid_post; it names a hook point a second time",
    ),
    ("corpus: {levels: [a/b]}", ": `corpus.levels[0]` is 'a/b'; it must be a name of letters, digits"),
    (
        "corpus: {texts: [{file: a.jsonl, path: ['x ']}]}",
        ": `corpus.texts[0].path[0]` is 'x '; it must be a name, without white space at its ends",
    ),
    (
        "evaluation: {sae_bench_edits: [subtre/topic]}",
        ": `evaluation.sae_bench_edits[0]` is 'subtre/topic'; it must be a method and a level, such as subtree/topic",
    ),
    ("world: {domains: 16}", ": `world.domains` is 16; the word list serves 8"),
    (
        "world: {last_name_uses: 500}",
        ": `world.first_name_uses` and `world.last_name_uses` are too high for unique full names",
    ),
    (
        "unlearning: {targets: {topic: 99}}",
        ": `unlearning.targets.topic` is 99, but this world has 16 nodes of that level",
    ),
    # overlay, the sentence after "runs/run_1.yaml"
    ("sea: {k: 4}", ": unknown key `sea`; did you mean `sae`?"),
    ("sae: {kk: 4}", ": unknown key `sae.kk`; did you mean `k`?"),
    ("language_model: {tiny: {layer: 3}}", ": unknown key `language_model.tiny.layer`; did you mean `layers`?"),
    ("run: {threads: 2}", ": unknown key `run.threads`; known are seed"),
    ("activations: {batch_tokens: 9}", ": unknown key `activations.batch_tokens`"),  # of `machine`
    ("unlearning: {rmu: {attack_steps: 3}}", ": unknown key `unlearning.rmu.attack_steps`"),  # RMU has no attacker
    ("unlearning: {rmu: {beta: 3}}", ": unknown key `unlearning.rmu.beta`"),
    ("unlearning: {grad_diff: {beta: 3}}", ": unknown key `unlearning.grad_diff.beta`"),
    ("unlearning: {scope_npo: {strengths: [1]}}", ": unknown key `unlearning.scope_npo.strengths`"),
    ("unlearning: {grad_ascent: {retain_weight: 3}}", ": unknown key `unlearning.grad_ascent.retain_weight`"),
    (
        "unlearning: {gates: {batch: {forge: 1}}}",
        ": unknown key `unlearning.gates.batch.forge`; did you mean `forget`?",
    ),
    ("unlearning: {batch: {retain: {siblings: 1}}}", ": `unlearning.batch.retain.siblings` is 'siblings'; it must be"),
    ("sae: {also: [{kk: 4}]}", ": unknown key `sae.also[0].kk`; did you mean `k`?"),
    ("sae: {also: [{k: 0}]}", ": `sae.also[0].k` is 0; it must be 1 or more"),
    ("sae: {k: four}", ": `sae.k` is 'four'; it must be a whole number"),
    ("sae: {k: 4.0}", ": `sae.k` is 4.0; it must be a whole number"),
    ("sae: {k: true}", ": `sae.k` is True; it must be a whole number"),
    ("sae: {k: null}", ": `sae.k` is None; it must be a whole number"),
    ("sae: {k: 0}", ": `sae.k` is 0; it must be 1 or more"),
    ("sae: {learning_rate: true}", ": `sae.learning_rate` is True; it must be a number"),
    ("sae: {learning_rate: '1'}", ": `sae.learning_rate` is '1'; it must be a number"),
    ("sae: {learning_rate: 0}", ": `sae.learning_rate` is 0; it must be above 0"),
    ("sae: {learning_rate: .nan}", ": `sae.learning_rate` is nan; it must be a finite number"),
    ("sae: {learning_rate: .inf}", ": `sae.learning_rate` is inf; it must be a finite number"),
    ("sae: {architecture: vanilla}", ": `sae.architecture` is 'vanilla'; it must be one of"),
    ("sae: {architecture: topkk}", ": `sae.architecture` is 'topkk'; it must be one of batch_topk, topk, matryoshka,"),
    ("correlation: {dense: yes}", ": `correlation.dense` is 'yes'; it must be true or false"),
    ("language_model: {revision: 3}", ": `language_model.revision` is 3; it must be text"),
    ("sae: 4", ": `sae` must be a section of `key: value` lines, not 4"),
    ("sae: [4]", ": `sae` must be a section of `key: value` lines, not [4]"),
    ("unlearning: {few_shot: tree}", ": `unlearning.few_shot` must be a section of `key: value` lines, not 'tree'"),
    ("unlearning: {tree_scale: token}", ": `unlearning.tree_scale` is 'token'; it must be a section of `key: value`"),
    ("corpus: {levels: topic}", ": `corpus.levels` is 'topic'; it must be a list"),
    ("corpus: {levels: []}", ": `corpus.levels` is []; it must be a list with at least 1 value"),
    ("unlearning: {latents: [5, x]}", ": `unlearning.latents[1]` is 'x'; it must be a whole number"),
    (
        "activations: {also: [resid]}",
        ": `activations.also[0]` is 'resid'; it must be the name of a hook point, such as",
    ),
    ("activations: {url: bucket}", ": `activations.url` is 'bucket'; it must be an s3://, gs:// or az:// address such"),
    ("activations: {url: 'ftp://a/b'}", ": `activations.url` is 'ftp://a/b'; it must be an s3://, gs:// or az://"),
    ("activations: {url: 's3://'}", ": `activations.url` is 's3://'; it must be an s3://, gs:// or az:// address"),
    ("machine: {cache_scheduler: 'http://a:1'}", ": `machine.cache_scheduler` is 'http://a:1'; it must be an address"),
    ("machine: {correlation_scheduler: 's3://a'}", ": `machine.correlation_scheduler` is 's3://a'; it must be threads"),
    ("evaluation: {k_values: [1, 1025]}", ": `evaluation.k_values` asks for 1025 latents, but `sae.d_sae` is 1024"),
    ("activations: {window_rows: 100}", ": `activations`: window_rows is 100; it must be a power of 2 from 64 on"),
    ("machine: {device: gpu}", ": `machine.device` is 'gpu'; it must be one of auto, cpu, cuda"),
    ("machine: {correlation_scheduler: dask}", ": `machine.correlation_scheduler` is 'dask'; it must be threads, proc"),
    ("machine: {batch_tokens: 7}", ": `machine.batch_tokens` is 7; it must hold one context of 256 tokens"),
    ("sae: {k: 2000}", ": `sae`: k is 2000; it must lie between 1 and d_sae (1024)"),
    ("dendrogram: {threshold: 1.5}", ": `dendrogram.threshold` is 1.5; it must be below 1"),
    ("dendrogram: {threshold: 0}", ": `dendrogram.threshold` is 0; it must be above 0"),
    ("activations: {layer: 4}", ": `activations.layer` is 4, but the model trained here has 4 layers; it must be 0 to"),
    ("unlearning: {targets: {topc: 1}}", ": `unlearning.targets` names the level `topc`, which `corpus.levels` lacks"),
    ("unlearning: {targets: {topic: 16}}", ": `unlearning.targets.topic` is 16, but this world has 16 nodes of that"),
    ("unlearning: {targets: {topic: -1}}", ": `unlearning.targets.topic` is -1; it must be a node's name, its path"),
    ("unlearning: {targets: {topic: 1.5}}", ": `unlearning.targets.topic` is 1.5; it must be a node's name, its path"),
    ("unlearning: {targets: {topic: []}}", ": `unlearning.targets.topic` is []; it must be a node's name, its path"),
    ("unlearning: {targets: {topic: zzz}}", ": `unlearning.targets.topic` is 'zzz', which no node of that level is"),
    (
        "unlearning: {targets: {topic: [a, b]}}",
        ": `unlearning.targets.topic` is [a, b], which no node of that level is",
    ),
    ("world: {domains: 2, topics_per_domain: 2}", ": `unlearning.targets.topic` is 5, but this world has 4 nodes of"),
    ("world: {domains: 1}", ": `world.domains` is 1; it must be 2 or more"),
    ("unlearning: {more_methods: {topc: []}}", ": `unlearning.more_methods` names the level `topc`"),
    (
        "unlearning: {methods: [sutree]}",
        ": `unlearning.methods[0]` is 'sutree'; it must be the name of a method; did you",
    ),
    ("unlearning: {more_methods: {topic: [x]}}", ": `unlearning.more_methods.topic[0]` is 'x'; it must be the name"),
    ("run: {seed: 1}\nrun: {seed: 2}", ", line 2: the key `run` appears twice in one section"),
    ("run:\n  seed: 1\n  seed: 2", ", line 3: the key `seed` appears twice in one section"),
    ("run: {seed: 1", " is not valid YAML: while parsing a flow mapping"),
    ("run: !!python/name:os.system", " is not valid YAML: could not determine a constructor"),
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


def test_params_yaml_must_be_complete(project: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("  bootstraps: 20 ", "  # bootstraps "))
    with pytest.raises(PipelineError, match=r"^params.yaml: the key `dendrogram.bootstraps` is missing$"):
        resolved(None)


def test_what_a_program_changes_comes_last_and_is_checked(project: Path) -> None:
    overlay("run_1", "sae: {k: 4}")
    params = resolve(Path("params.yaml"), Path("runs"), "run_1", [{"run": {"seed": 7}}, {"sae": {"k": 2}}]).params
    assert (params.run.seed, params.sae.k, params.sae.d_sae) == (7, 2, 1024)
    with pytest.raises(PipelineError, match=r"^override 1: `sae.k` is 0; it must be 1 or more"):
        resolve(Path("params.yaml"), Path("runs"), "run_1", [{"sae": {"k": 0}}])


@pytest.mark.parametrize("text", ["3e-4", "3.0e-4", "0.0003", "+3E-04"])
def test_a_number_may_be_written_as_people_write_it(project: Path, text: str) -> None:
    """YAML 1.1 takes ``3e-4`` for text."""
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
    Path("model/config.json").write_text(f'{{"model_type": "gemma2", "num_hidden_layers": {layers}}}')
    Path("model/tokenizer.json").write_text("{}")
    Path("model/model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")  # no tensor, but a whole file


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


def test_replaced_weights_of_a_pretrained_dictionary_change_what_train_sae_depends_on(project: Path) -> None:
    overlay("run_1", "sae: {pretrained: ./sae}")
    Path("data/run").write_text("run_1\n")
    Path("sae").mkdir()
    written = []
    for weights in ("one", "two"):
        Path("sae/sae_weights.safetensors").write_text(weights)
        stage.main()
        written.append(read_yaml(Path("data/params.yaml")))
    first, second = written
    assert list(first["dictionary"]) == ["sae"]
    assert {key for key in first if first[key] != second[key]} == {"dictionary"}


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda: Path("a.jsonl").unlink(), "corpus file a.jsonl is missing"),
        (lambda: Path("a.jsonl").write_text(""), "corpus file a.jsonl is empty"),
        (lambda: Path("model/tokenizer.json").unlink(), "model folder model has no tokenizer"),
        (
            lambda: Path("model/config.json").write_text('{"model_type": "gpt2", "n_layer": 1}'),
            "`activations.layer` is 1, but ./model has 1",
        ),
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
    found = bench_settings(recommended(EvaluationSettings, core_batches=3), recommended(MachineSettings), 5, "cpu")
    assert (found.core_sparsity_batches, found.seed, found.k_values) == (3, 5, (1, 2, 5, 10, 20, 50))


# ---- targets by name


def test_a_target_may_be_a_name_or_a_path_of_this_seed_s_world(project: Path) -> None:
    domain, topic = make_world(recommended(WorldSettings), seed=1).nodes()["topic"][5]
    overlay("run_1", f"unlearning: {{targets: {{topic: {topic}}}}}")
    assert resolved("run_1").params.unlearning.targets["topic"] == topic
    overlay("run_1", f"unlearning: {{targets: {{topic: [{domain}, {topic}]}}}}")
    assert resolved("run_1").params.unlearning.targets["topic"] == (domain, topic)
    overlay("run_1", f"unlearning: {{targets: {{topic: {topic[:-1]}}}}}")
    with pytest.raises(PipelineError, match=f"which no node of that level is; the nearest: {topic}"):
        resolved("run_1")


def test_names_of_another_corpus_are_checked_against_the_paths_of_its_sources(project: Path) -> None:
    blocks = LOCAL.replace("{file: a.jsonl}", '{file: a.jsonl, path: ["author_{block}"], lines_per_block: 2}')
    overlay("run_1", blocks + "unlearning: {targets: {author: author_12}}")
    assert resolved("run_1").params.unlearning.targets["author"] == "author_12"  # how many there are is not known yet
    overlay("run_1", blocks + "unlearning: {targets: {author: autor_12}}")
    with pytest.raises(PipelineError, match=r"author` is 'autor_12', which no node of .* the nearest: author_{block}"):
        resolved("run_1")


# ---- the classes


def test_a_copy_with_changes_is_checked_and_keeps_the_rest() -> None:
    variation = Variation(k=3)
    assert variation.but(l1=1).plain() == variation.plain() | {"l1": 1.0}
    with pytest.raises(ValueError, match="k"):
        variation.but(k=0)
    with pytest.raises(ValueError, match="frozen"):
        variation.k = 4


def test_lists_of_yaml_are_tuples_in_code() -> None:
    assert parse(TextSource, {"file": "a.txt", "path": ["a", "b"]}, "").path == ("a", "b")


def test_an_unknown_word_gets_the_nearest_or_all() -> None:
    assert did_you_mean("subtre", ["subtree", "npo"]) == "; did you mean `subtree`?"
    assert did_you_mean("x", ["subtree", "npo"]) == "; known are npo, subtree"


def fields(cls: type) -> list:
    return list(cls.model_fields.values())


def classes_of(cls: type) -> set[type]:
    """The settings classes below one."""
    found = {cls}
    for field in fields(cls):
        for below in _settings_in(field.annotation):
            found |= classes_of(below)
    return found


def _settings_in(kind: object) -> set[type]:
    if isinstance(kind, type) and issubclass(kind, Settings):
        return {kind}
    return set().union(*(_settings_in(argument) for argument in get_args(kind)))
