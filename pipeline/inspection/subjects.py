"""What `inspect` answers: the content of one subject; each loads only the modules that it needs."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.faults import did_you_mean
from pipeline.core.files import read_json
from pipeline.inspection.overview import drawn_overview, need, overview


def look(data: Path, given: Namespace) -> dict[str, Any] | str:
    """The content asked for: ``given.subject``, and what its arguments name; everything where there is no subject."""
    match given.subject:
        case None:
            content = overview(data)
            return content if given.json else drawn_overview(content)
        case "corpus":
            return _corpus(data, given.json)
        case "knowledge":
            return _knowledge(data, given.level, given.json)
        case "layers":
            return _layers(data, given.level, given.json)
        case "activations" | "sae":
            return _store(data, given.subject)
        case "run":
            from pipeline.inspection.results import run

            return run(given.folder)
    need(data, "dendrogram")
    match given.subject:
        case "edit":
            return _edit(data, given.name)
        case "dendrogram":
            return _dendrogram(data, given)
        case _:
            return _latents(data, given)


def _corpus(data: Path, as_json: bool) -> dict[str, Any] | str:
    from pipeline.inspection.trees import corpus_nodes, drawn_nodes

    need(data, "corpus")
    content = corpus_nodes(data / "corpus")
    return content if as_json else drawn_nodes(content)


def _knowledge(data: Path, level: str | None, as_json: bool) -> dict[str, Any]:
    """What the unedited model knew: a row for each node of a level and kind of question."""
    need(data, "corpus", "model")
    file = data / "model/knowledge.json"
    if not file.exists():
        raise PipelineError(f"{file} is missing: `prepare` asked nothing; set `language_model.least_known` above 0")
    tables = read_json(file)["tables"]
    level = level or list(tables)[-1]
    if level not in tables:
        raise PipelineError(f"there is no level `{level}`{did_you_mean(level, tables)}")
    return tables if as_json else {level: tables[level]}


def _layers(data: Path, level: str | None, as_json: bool) -> dict[str, Any]:
    """Where a level of the corpus can be read: what `prepare` found, else what was measured for this question."""
    file = data / "model/layers.json"
    if not file.exists():
        file = data / "layers.json"
    content = read_json(file)
    return content if as_json else drawn_layers(content, level)


def drawn_layers(content: dict[str, Any], level: str | None) -> dict[str, Any]:
    """One level's table: layers, then what chance and words reach; -1 is the embedding."""
    levels = content["levels"]
    level = level or list(levels)[-1]
    if level not in levels:
        raise PipelineError(f"there is no level `{level}`{did_you_mean(level, levels)}")
    table = levels[level]
    beside = [{"layer": name} | table[name] for name in ("chance", "tfidf")]
    about = {"level": level, "nodes": table["nodes"], **content["items"], "auto takes layer": content["best"]}
    return about | {"average precision": [*table["layers"], *beside]}


def _store(data: Path, subject: str) -> dict[str, Any]:
    from pipeline.inspection import stores

    if subject == "sae":
        need(data, "sae")
        return stores.sae(data / "sae", data / "evaluation")
    need(data, "activations.zarr", "model")
    return stores.activations(data / "activations.zarr", data / "model")


def _dendrogram(data: Path, given: Namespace) -> dict[str, Any] | str:
    from pipeline.inspection import trees

    if given.newick:
        return (data / "dendrogram" / (given.scale or "") / "tree.nwk").read_text(encoding="utf-8").strip()
    grove = _grove(data, given.scale)
    rows = trees.outline(grove, given.level)
    if given.json:
        return {"latents": grove.tree.n_leaves, "cuts at r": " ".join(map(str, grove.cuts)), "groups": rows}
    return f"{grove.tree.n_leaves} latents, cuts at r {' '.join(map(str, grove.cuts))}\n{trees.drawn(rows)}"


def _edit(data: Path, name: str) -> dict[str, Any]:
    from pipeline.inspection.results import edit

    need(data, "unlearning")
    return edit(name, data / "unlearning", data / "evaluation", _grove(data, None))


def _latents(data: Path, given: Namespace) -> dict[str, Any]:
    """A feature or a group."""
    from pipeline.codes.store import CodesStore
    from pipeline.inspection import latents, results
    from pipeline.language_model.token_text import TokenText

    need(data, "features.zarr", "model", "sae")
    grove, codes = _grove(data, given.scale), CodesStore.open(data / "features.zarr")
    tokens = TokenText.open(data / "model")
    if given.subject == "feature":
        return latents.feature(given.number, codes, tokens, data / "sae", grove)
    found = latents.group(given.number, codes, tokens, grove)
    return found | results.cut_alone(given.number, given.scale, data / "evaluation")


def _grove(data: Path, scale: str | None) -> Any:
    from pipeline.inspection.trees import open_grove

    return open_grove(data / "dendrogram", data / "report/words.json", scale)
