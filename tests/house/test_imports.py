"""Arrows point downward: who may import whom, one owner for each heavy dependency, and light things stay light."""

import ast
import subprocess
import sys

import pytest

from tests.support.import_graph import ROOT, closure, file_of, imports, is_ours, modules

# From the bottom up; a part may import itself and what stands before it.
LAYERS = (
    ("pipeline.core",),
    ("pipeline.corpus",),
    ("pipeline.language_model",),
    ("pipeline.activations",),
    ("pipeline.codes",),
    ("pipeline.tree",),
    ("pipeline.sae",),
    ("pipeline.scope",),
    ("pipeline.unlearning",),
    ("pipeline.evaluation",),
    ("pipeline.agreement",),
    ("pipeline.saebench",),
    ("pipeline.report",),
    ("pipeline.inspection",),
    ("pipeline.params", "pipeline.__main__"),
    ("stages", "plot", "repository"),
    ("experiment",),
    ("studies",),
)
OWNERS = {
    "dvc": ("experiment", "repository"),
    "zarr": ("pipeline.activations", "pipeline.codes", "pipeline.tree"),
    "numcodecs": ("pipeline.activations", "pipeline.codes", "pipeline.tree"),
    "dask": ("pipeline.tree",),
    "distributed": ("pipeline.core.processes", "pipeline.activations", "pipeline.tree", "studies"),
    "fastcluster": ("pipeline.tree",),
    "transformers": ("pipeline.language_model", "pipeline.saebench"),  # the adapter builds its own config
    "tokenizers": ("pipeline.language_model",),
    "datasets": ("pipeline.corpus",),
    "sae_bench": ("pipeline.saebench", "studies.dictionaries"),
    "sae_lens": ("pipeline.saebench", "studies.atlas", "studies.dictionaries"),
    "matplotlib": ("pipeline.report",),
}
TYPES = {"transformers.PreTrainedModel", "transformers.PreTrainedTokenizerBase"}  # anyone may name them in a signature
MODULES = modules()


def layer_of(module: str) -> int:
    inside = [i for i, layer in enumerate(LAYERS) if any(is_in(module, part) for part in layer)]
    assert inside or module == "pipeline", f"{module} belongs to no layer of this test"
    return inside[0] if inside else -1


def is_in(module: str, part: str) -> bool:
    return module == part or module.startswith(f"{part}.")


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    ours = {name for name in imports(module) if is_ours(name)}
    if module == "experiment":
        assert not any(is_in(name, "stages") for name in ours), "experiment.py and the stages talk through files only"
    upward = {name for name in ours if layer_of(name) > layer_of(module)}
    assert not upward, f"{module} imports what lies above it"
    if is_in(module, "stages"):
        assert {name for name in ours if is_in(name, "stages")} <= {"stages"}, "stages talk through files only"


@pytest.mark.parametrize("dependency", OWNERS)
def test_each_heavy_dependency_has_one_owner(dependency: str) -> None:
    strangers = [
        module
        for module in MODULES
        if any(is_in(name, dependency) for name in imports(module) - TYPES)
        and not any(is_in(module, owner) for owner in OWNERS[dependency])
    ]
    assert not strangers, f"{dependency} belongs to {' and '.join(OWNERS[dependency])}"


def test_sae_bench_and_sae_lens_come_only_with_their_adapter_and_what_is_beside_them() -> None:
    slow = {"sae_bench", "sae_lens"}
    loaders = [name for name in MODULES if {found.split(".")[0] for found in closure(name, when_loaded=True)} & slow]
    assert all(is_in(name, "pipeline.saebench") or is_in(name, "studies.dictionaries") for name in loaders), loaders


@pytest.mark.parametrize("module", ["experiment", "stages", "stages.params"])
def test_what_every_call_loads_is_light(module: str) -> None:
    """A call with nothing to do must take seconds; torch alone is one or two, transformers and datasets more."""
    heavy = {"torch", "transformers", "datasets", "dask", "zarr", "numba", "scipy", "matplotlib", "dvc", "sae_lens"}
    loaded = {name.split(".")[0] for name in closure(module, when_loaded=True)}
    assert not loaded & heavy


@pytest.mark.parametrize(
    "stage", ["train_sae", "encode_features", "correlate", "build_dendrogram", "unlearn", "report"]
)
def test_transformers_is_loaded_only_where_a_language_model_is(stage: str) -> None:
    """It takes seven seconds on a slow core; unlearn leaves it to its workers."""
    assert "transformers" not in {name.split(".")[0] for name in closure(f"stages.{stage}", when_loaded=True)}


def test_no_work_and_no_names_in_package_files() -> None:
    for module in MODULES:
        file = file_of(module)
        if file.name == "__init__.py" and module != "stages":  # which holds how a stage starts and ends
            statements = ast.parse(file.read_text(encoding="utf-8")).body
            assert len(statements) == 1 and isinstance(statements[0].value, ast.Constant), f"{module}: docstring only"


def test_the_graph_read_from_the_source_is_what_python_loads() -> None:
    """The other tests stand on `closure`; one real import shows that it sees what Python does."""
    code = "import sys, stages.params; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if is_ours(name)}
    assert loaded == {name for name in closure("stages.params", when_loaded=True) if is_ours(name)}
