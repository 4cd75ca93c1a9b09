"""The corpus' tree of nodes, with the number and the name by which `unlearning.targets` chooses each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.files import read_json, read_jsonl

SPLITS = ("train", "dev", "test")  # counted together; `novel` probes are not for choosing

Node = tuple[str, ...]


def corpus_nodes(folder: Path) -> dict[str, Any]:
    """Every node below its parent, with the texts and probes that lie in it; then those that lie in no node."""
    about = read_json(folder / "corpus.json")
    texts, probes = (_counts(folder / f"{kind}.jsonl") for kind in ("texts", "probes"))
    rows = [
        {**row, "texts": texts[tuple(row["path"])], "probes": probes[tuple(row["path"])]}
        for row in _below((), about["nodes"])
    ]
    outside = [counts[()] - sum(counts[tuple(row["path"])] for row in rows if len(row["path"]) == 1)
               for counts in (texts, probes)]  # fmt: skip
    return {"corpus": str(folder), "nodes": rows, "in no node": dict(zip(("texts", "probes"), outside, strict=True))}


def drawn_nodes(content: Mapping[str, Any]) -> str:
    """The nodes as an indented tree with columns."""
    rows: Sequence[Mapping[str, Any]] = content["nodes"]
    last, levels = rows[-1], Counter(row["level"] for row in rows)
    label = [f"{'  ' * (len(row['path']) - 1)}{row['level']} {row['number']}" for row in rows]
    wide, name = max(map(len, label)), max(len(row["name"]) for row in rows)
    lines = [
        f"{content['corpus']}: {', '.join(f'{count} x {level}' for level, count in levels.items())}; "
        "texts and probes of train, dev and test together",
        f"`unlearning.targets` takes a number or a name: {{{last['level']}: {last['number']}}} or "
        f"{{{last['level']}: {last['name']}}}",
        "",
        f"{'':{wide}}  {'':{name}}   texts  probes",
    ]
    lines += [
        f"{start:{wide}}  {row['name']:{name}}  {row['texts']:6}  {row['probes']:6}"
        for start, row in zip(label, rows, strict=True)
    ]
    outside = content["in no node"]
    return "\n".join([*lines, f"{'in no node':{wide + name + 2}}  {outside['texts']:6}  {outside['probes']:6}"])


def _below(parent: Node, nodes: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[dict[str, Any]]:
    """The nodes under ``parent``, each followed by those under it; a number counts all nodes of its level."""
    levels = list(nodes)
    if len(parent) == len(levels):
        return
    level = levels[len(parent)]
    for number, path in enumerate(nodes[level]):
        if tuple(path[:-1]) == parent:
            yield {"level": level, "number": number, "name": path[-1], "path": list(path)}
            yield from _below(tuple(path), nodes)


def _counts(file: Path) -> Counter[Node]:
    """Node -> rows in it or below it; the empty path counts every row."""
    return Counter(
        tuple(row["path"][:depth])
        for row in read_jsonl(file)
        if row["split"] in SPLITS
        for depth in range(len(row["path"]) + 1)
    )
