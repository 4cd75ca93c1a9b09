"""Who imports whom in this repository, read from the source: nothing is executed, and lazy imports are seen too."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("pipeline", "stages", "studies")
PROGRAMS = ("experiment", "repository", "plot")  # in the root


def modules() -> list[str]:
    """Every module of the library and of the stages, and the two programs in the root."""
    files = [file for package in OURS for file in (ROOT / package).rglob("*.py")]
    return [*PROGRAMS, *sorted(name_of(file) for file in files)]


def name_of(file: Path) -> str:
    """``pipeline/sae/build.py`` -> ``pipeline.sae.build``; a package bears its folder's name."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def file_of(module: str) -> Path | None:
    """The file of one of our modules; None for a name that is not a module of ours."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@cache
def imports(module: str, when_loaded: bool = False) -> frozenset[str]:
    """What ``module`` imports: our modules, and others' modules or names (``transformers.PreTrainedModel``).

    A text that is a module's name counts too (a worker is started by ``python -m``). With ``when_loaded``, only what is
    imported with the module itself.
    """
    file = file_of(module)
    assert file, f"{module} is imported, but there is no such module"
    found: set[str] = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8")), when_loaded):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module if is_ours(name) and not file_of(name) else name for name in inner}
        elif isinstance(node, ast.Constant) and not when_loaded and _names_a_module(node.value):
            found.add(node.value)
    return frozenset(found)


def _statements(node: ast.AST, when_loaded: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if when_loaded and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from _statements(child, when_loaded)


def _names_a_module(value: object) -> bool:
    return (
        isinstance(value, str) and "." in value and " " not in value and is_ours(value) and file_of(value) is not None
    )


def is_ours(module: str) -> bool:
    return module.split(".")[0] in OURS


def closure(module: str, when_loaded: bool = False) -> set[str]:
    """All that is imported with ``module``: it, our modules behind it, their packages, and others' modules."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if is_ours(name) or name in PROGRAMS:
            waiting += imports(name, when_loaded)
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return seen
