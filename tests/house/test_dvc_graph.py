"""dvc.yaml against the stages' source: a dependency that is missing there gives stale results in silence."""

import ast
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.yaml_text import read_yaml
from pipeline.params import Params
from tests.support.import_graph import ROOT, closure, file_of, is_ours, modules

STAGES: dict[str, dict[str, Any]] = read_yaml(ROOT / "dvc.yaml")["stages"]
# A wrong target is refused before the model is trained; another one shapes nothing of what is written.
ONLY_CHECKED = {"prepare": {"unlearning"}}
TOOLS = {"pipeline.__main__", "plot", "experiment"}  # commands for people, not stages of the graph


def code_dependencies(name: str) -> set[str]:
    """The packages of the library and the files of stages/ that are listed."""
    listed = {path for path in STAGES[name]["deps"] if path.startswith(("pipeline", "stages"))}
    missing = [path for path in listed if not (ROOT / path).exists()]
    assert not missing, f"dvc.yaml names {missing}"
    return listed


def package_of(module: str) -> str:
    """``pipeline.sae.rules.topk`` -> ``pipeline/sae``; a module of stages/ is its file."""
    if module.startswith("stages"):
        return str(file_of(module).relative_to(ROOT))
    return "/".join(module.split(".")[:2])


def data_paths(name: str) -> tuple[set[str], set[str]]:
    """Data dependencies and outputs."""
    outs = {path for out in STAGES[name]["outs"] for path in (out if isinstance(out, dict) else [out])}
    return {path for path in STAGES[name]["deps"] if path.startswith("data/")}, outs


def source(name: str) -> ast.Module:
    return ast.parse((ROOT / f"stages/{name}.py").read_text(encoding="utf-8"))


def test_every_stage_is_in_the_graph_and_back() -> None:
    files = {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_command(name: str) -> None:
    """`exec`: else a shell stands between DVC and the stage, and outlives a killed experiment.py."""
    assert STAGES[name]["cmd"] == f"exec python -m stages.{name}"


@pytest.mark.parametrize("name", STAGES)
def test_listed_code_is_what_the_stage_imports(name: str) -> None:
    """Whole packages; `params`, which runs in every call, lists the library as one."""
    listed = code_dependencies(name)
    expected = {package_of(module) for module in closure(f"stages.{name}") if is_ours(module) and module != "pipeline"}
    if name == "params":
        expected = {path for path in expected if not path.startswith("pipeline/")} | {"pipeline"}
    assert not expected - listed, "dvc.yaml lacks these"
    assert not listed - expected, "dvc.yaml has too many"


def test_the_table_of_stages_stays_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) < 200


def sections_read(name: str) -> set[str]:
    """From ``read_section(PARAMS, Class, "section")``, ``read_yaml(PARAMS)["section"]`` and ``read_sections``.

    Section ``machine`` is left out: it shapes no bytes, and no stage is to list it.
    """
    found: set[str] = set()
    tree = source(name)
    keyed = {node.value: node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match ast.unparse(call.func), [ast.unparse(argument) for argument in call.args]:
            case "read_section", [where, _, section]:
                assert where == "PARAMS" and section == f"'{ast.literal_eval(section)}'", (
                    "a test reads this: literals only"
                )
                found.add(ast.literal_eval(section))
            case "read_yaml", ["PARAMS"]:
                found.add(ast.literal_eval(keyed[call]))
            case "read_sections", ["PARAMS"]:
                assert [ast.literal_eval(keyword.value) for keyword in call.keywords] == ["machine"]
                found |= {*Params.model_fields, "inputs", "dictionary", "name"}
    return found - {"machine"}


@pytest.mark.parametrize("name", [name for name in STAGES if name != "params"])
def test_listed_params_are_the_sections_that_the_stage_reads(name: str) -> None:
    listed = {key for entry in STAGES[name].get("params", []) for key in entry["data/params.yaml"]}
    assert listed == sections_read(name) - ONLY_CHECKED.get(name, set())


@pytest.mark.parametrize("name", STAGES)
def test_listed_data_are_the_paths_in_the_stage(name: str) -> None:
    """A literal may be the folder of what is listed, or the other way round."""
    literals = {
        node.value
        for node in ast.walk(source(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("data/")
    } - {"data/run", "data/params.yaml"}
    dependencies, outputs = data_paths(name)
    listed = (dependencies | outputs) - {"data/params.yaml", f"data/times/{name}.json"}

    def related(path: str, others: set[str]) -> bool:
        return any(Path(path).is_relative_to(other) or Path(other).is_relative_to(path) for other in others)

    assert not {path for path in literals if not related(path, listed)}, "dvc.yaml lacks these"
    assert not {path for path in listed if not related(path, literals)}, "the stage does not name these"


def test_every_dependency_is_made_by_a_stage_or_tracked() -> None:
    made = set().union(*(data_paths(name)[1] for name in STAGES))
    for name in STAGES:
        for path in data_paths(name)[0]:
            by_stage = any(Path(path).is_relative_to(output) for output in made)
            assert by_stage or (ROOT / path).exists(), f"{name} depends on {path}, which no stage makes"


def test_every_stage_keeps_its_time_and_only_the_report_reads_times() -> None:
    """The time of `params`, which runs in every call, is nobody's dependency: it would make the report stale."""
    timed = [name for name in STAGES if name != "params"]
    for name in timed:
        assert f"data/times/{name}.json" in data_paths(name)[1]
    readers = {name for name in STAGES if any(path.startswith("data/times") for path in data_paths(name)[0])}
    assert readers == {"report"}
    read = {path for path in data_paths("report")[0] if path.startswith("data/times")}
    assert read == {f"data/times/{name}.json" for name in timed if name != "report"}


def test_no_stage_leads_to_a_module_that_nobody_uses() -> None:
    """Code that no stage and no command reaches is dead, or its stage is missing in the graph."""
    commands = [*(f"stages.{name}" for name in STAGES), *TOOLS]
    reached = set().union(*(closure(command) for command in commands))
    assert {module for module in modules() if module.startswith("pipeline")} <= reached
