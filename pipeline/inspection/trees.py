"""The dendrogram by the numbers (nodes, paths, cuts as a nested list), and the corpus' own tree of nodes.

The latter has the number and the name by which `unlearning.targets` chooses each node.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, read_jsonl
from pipeline.tree.feature_tree import FeatureTree, Node, load_tree


class Grove(NamedTuple):
    """A tree with the words that the report found for its nodes; ``words`` is empty before there is a report."""

    tree: FeatureTree
    cuts: list[float]
    words: dict[str, dict[str, list[str]]]  # "nodes" and "latents", by number

    def node_words(self, node: int) -> str:
        return " ".join(self.words.get("nodes", {}).get(str(node), []))

    def latent_words(self, latent: int) -> str:
        return " ".join(self.words.get("latents", {}).get(str(latent), []))


def open_grove(dendrogram: Path, words: Path, scale: str | None) -> Grove:
    """The default tree, or that of a scale (which has words for latents only)."""
    folder = dendrogram / scale if scale else dendrogram
    known = read_json(words) if words.exists() else {}
    if scale:
        known = {"latents": known.get("latents", {})}
    cuts = [cut["correlation"] for cut in read_json(folder / "groups.json")["cuts"]]
    return Grove(load_tree(folder), cuts, known)


def merge(tree: FeatureTree, number: int) -> Node:
    """The merge with scipy's number."""
    if not tree.n_leaves <= number < 2 * tree.n_leaves - 1:
        raise PipelineError(
            f"there is no group {number}; groups are the merges {tree.n_leaves} to {2 * tree.n_leaves - 2} of the tree "
            "(`pipeline inspect dendrogram` lists those of a cut; one latent is a `feature`)"
        )
    return tree.nodes()[number - tree.n_leaves]


def path_to_root(grove: Grove, node: int) -> list[dict[str, Any]]:
    """Of the merges above a node the nearest, then each that holds twice the latents of the last shown, and the root.

    A spine takes up one latent after the other; ``merges`` counts what each row stands for.
    """
    tree, path, passed, shown = grove.tree, [], 0, 0
    while (node := int(tree.parents[node])) >= 0:
        passed += 1
        if tree.sizes[node] >= 2 * shown or tree.parents[node] < 0:
            row = {"group": node, "merges": passed, **_described(tree, node), "words": grove.node_words(node)}
            path.append(row)
            passed, shown = 0, tree.sizes[node]
    return path


def leaf_of(tree: FeatureTree, latent: int) -> int | None:
    """Leaf number of a latent; None when it fires too rarely to be clustered."""
    found = np.flatnonzero(tree.latents == latent)
    return int(found[0]) if len(found) else None


def children(grove: Grove, node: Node) -> list[dict[str, Any]]:
    """The two parts that were merged."""
    tree, rows = grove.tree, []
    for child in tree.children[node.id - tree.n_leaves].tolist():
        if child < tree.n_leaves:
            latent = int(tree.latents[child])
            part, words = f"feature {latent}", grove.latent_words(latent)
        else:
            part, words = f"group {child}", grove.node_words(child)
        rows.append({"part": part, **_described(tree, child), "words": words})
    return rows


def outline(grove: Grove, level: int) -> list[dict[str, Any]]:
    """The groups of the cuts down to ``level`` that hold at least two latents, each below the coarser one it is in."""
    if not 1 <= level <= len(grove.cuts):
        raise PipelineError(f"the tree has the levels 1 to {len(grove.cuts)}, not {level}")
    tops = [_tops(grove.tree, cut) for cut in grove.cuts[:level]]
    rows: list[dict[str, Any]] = []

    def add(node: Node, depth: int) -> None:
        words = grove.node_words(node.id)
        rows.append(
            {"level": depth, "group": node.id, "r": _r(node.height), "latents": len(node.members), "words": words}
        )
        if depth < level:
            inside = set(node.members.tolist())
            for finer in tops[depth]:
                if int(finer.members[0]) in inside:
                    add(finer, depth + 1)

    for node in tops[0]:
        add(node, 1)
    return rows


def drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    """The outline as a text tree, one group a line.

    >>> print(drawn([{"level": 1, "group": 8, "r": 0.3, "latents": 4, "words": "river"},
    ...              {"level": 2, "group": 6, "r": 0.9, "latents": 2, "words": ""}]))
    └─ group 8: 4 latents at r 0.3, river
       └─ group 6: 2 latents at r 0.9
    """
    lines, last_of = [], {}  # depth -> whether the latest node there is the last child of its parent
    for k, row in enumerate(rows):
        depth = row["level"]
        following = next((other["level"] for other in rows[k + 1 :] if other["level"] <= depth), 0)
        last_of[depth] = following < depth
        indent = "".join("   " if last_of[above] else "│  " for above in range(1, depth))
        words = f", {row['words']}" if row["words"] else ""
        branch = "└─ " if last_of[depth] else "├─ "
        lines.append(f"{indent}{branch}group {row['group']}: {row['latents']} latents at r {row['r']}{words}")
    return "\n".join(lines)


def _tops(tree: FeatureTree, correlation: float) -> list[Node]:
    """The groups of a cut with at least two latents, the largest first."""
    nodes = tree.nodes()
    merges = (number - tree.n_leaves for number in sorted(tree.groups_of_cut(correlation)) if number >= tree.n_leaves)
    return sorted((nodes[merge] for merge in merges), key=lambda node: -len(node.members))


def _described(tree: FeatureTree, node: int) -> dict[str, Any]:
    """At which correlation a node was merged (1 for a leaf), and how many latents are below it."""
    return {"r": _r(tree.heights[node]), "latents": int(tree.sizes[node])}


def _r(height: float) -> float:
    return round(1 - float(height), 3)


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
