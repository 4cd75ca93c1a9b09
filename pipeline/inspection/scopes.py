"""What a few example texts could mean: one scope a level, each inside the next, for the user to choose from.

The labelled texts stand for the other nodes, from which what is meant is told apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.inspection.asking import count_unknown
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.sae.folder import load_dictionary
from pipeline.scope.documents import Documents, load_reading, open_documents, read
from pipeline.scope.retrievers import RETRIEVERS, Example, Query, centred, least_cosine, merges
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.subject import open_forest

Node = tuple[str, ...]
# z of the third group that two documents share. On the embedded world 19 of 20 pairs of one domain reach 1.9, half of
# the pairs of two domains 1.9, half of the pairs of a fact and general text 1.1.
SUPPORTED = 1.5


class Evidence(NamedTuple):
    """A tree node on which every example is high: scipy's number, its latents, the lowest of the examples' mean z."""

    node: int
    latents: int
    least: float


class Candidate(NamedTuple):
    """A scope of one level."""

    level: str
    documents: list[int]  # of the pool, the surest first
    outside: list[int]  # the three that come nearest and are left out
    siblings: list[tuple[Node, float]]  # other nodes with their documents' mean share of the examples' score
    evidence: list[Evidence]
    words: list[str]  # that tell the scope's documents from the others


def candidates(
    documents: Documents,
    given: list[Example],
    labelled: Mapping[str, Mapping[Node, list[Example]]],
    settings: ScopeSettings,
    retriever: str = "tree",
) -> list[Candidate]:
    """The finest level first. ``labelled`` are the examples of other nodes, by level, the coarsest first.

    A document is inside when it scores at least ``settings.inside`` of what the examples themselves score. What a
    finer scope holds, the coarser ones hold too.
    """
    found: list[Candidate] = []
    own = np.concatenate(given)
    for level in reversed(list(labelled)):
        others = labelled[level]
        rest = [np.concatenate(of) for of in others.values()]
        asked = np.concatenate([documents.pool(), own, *rest])
        score_x = RETRIEVERS[retriever](documents, Query(asked, given, list(others.values())), settings)
        share_x = score_x / max(float(score_x[documents.n_pool :][: len(own)].mean()), 1e-12)
        pool_x = share_x[: documents.n_pool]
        if found:
            pool_x[found[-1].documents] = np.maximum(pool_x[found[-1].documents], settings.inside)
        order = np.argsort(-pool_x, kind="stable")
        size = int((pool_x >= settings.inside).sum())
        bounds = np.cumsum([documents.n_pool + len(own), *map(len, rest)])
        near = [(node, float(share_x[a:b].mean())) for node, a, b in zip(others, bounds, bounds[1:], strict=False)]
        inside, outside = order[:size].tolist(), order[size : size + 3].tolist()
        siblings = sorted(near, key=lambda pair: -pair[1])[:3]
        evidence, words = shared_nodes(documents, given, settings), telling_words(documents, inside)
        found.append(Candidate(level, inside, outside, siblings, evidence, words))
    return found


def shared_nodes(documents: Documents, given: list[Example], settings: ScopeSettings, most: int = 5) -> list[Evidence]:
    """The tree nodes on which all examples are highest."""
    z_xm, nodes = documents.form(merges, settings), documents.trees["document"].nodes()
    least_m = np.min([z_xm[example].mean(0) for example in given], axis=0)
    return [Evidence(nodes[m].id, len(nodes[m].members), float(least_m[m])) for m in np.argsort(-least_m)[:most]]


def doubt(found: list[Candidate]) -> str | None:
    """What to say where the examples hardly share a group: a ranking comes out all the same."""
    evidence = found[0].evidence
    third = evidence[min(2, len(evidence) - 1)]
    if third.least >= SUPPORTED:
        return None
    return (
        f"the examples share little (their third group is at z {third.least:.1f}, below {SUPPORTED}): "
        "these scopes are hardly supported; give examples that are more alike, or that the corpus speaks of"
    )


def telling_words(documents: Documents, inside: list[int], most: int = 8) -> list[str]:
    """Words in a larger share of the scope's documents than of the other pool documents, by that difference."""
    counts = documents.word_counts
    present_xv = (counts.tfidf_xv[: documents.n_pool] > 0).toarray()
    chosen_x = np.isin(np.arange(documents.n_pool), inside)
    if chosen_x.all() or not chosen_x.any():
        return []
    lift_v = present_xv[chosen_x].mean(0) - present_xv[~chosen_x].mean(0)
    return [str(counts.vocabulary[v]) for v in np.argsort(-lift_v, kind="stable")[:most] if lift_v[v] > 0]


class Likest(NamedTuple):
    """The node of the labelled text whose residual is most like all examples, with its least cosine to them."""

    node: Node
    cosine: float


def likest(documents: Documents, given: list[Example], settings: ScopeSettings) -> Likest:
    """Where the examples themselves are taken to lie."""
    labelled = _labelled(documents)
    cosine_x = least_cosine(documents.form(centred, settings), labelled, [given])[:, 0]
    best = int(cosine_x.argmax())
    return Likest(tuple(documents.paths[labelled[best]]), float(cosine_x[best]))


def _labelled(documents: Documents) -> np.ndarray:
    return np.array([x for x in range(documents.n_pool, len(documents.rows)) if documents.paths[x]], np.int64)


def other_nodes(
    documents: Documents, given: list[Example], levels: Sequence[str], settings: ScopeSettings
) -> dict[str, dict[Node, list[Example]]]:
    """By level, each labelled node with two of its texts, but not the node that the examples themselves lie in.

    The two texts come from different children where the node has them.
    """
    labelled, own = _labelled(documents), likest(documents, given, settings).node
    found: dict[str, dict[Node, list[Example]]] = {}
    for depth, level in enumerate(levels, start=1):
        of_node: dict[Node, dict[Node, int]] = {}
        for x in labelled.tolist():
            path = documents.paths[x]
            if len(path) == len(levels) and path[:depth] != own[:depth]:
                child = path[: depth + 1] if depth < len(levels) else (*path, str(x))
                of_node.setdefault(path[:depth], {}).setdefault(child, x)
        found[level] = {
            node: [documents.one(x) for x in list(children.values())[:2]] for node, children in of_node.items()
        }
    return found


class Found(NamedTuple):
    """The scopes in words, the finest first; ``doubt`` where the examples hardly support any of them."""

    lines: list[str]
    doubt: str | None


def find_scopes(data: Path, examples: Sequence[str], retriever: str) -> Found:
    """Read the examples with the pool, and find a scope for each level."""
    if not all(text.strip() for text in examples):
        raise PipelineError("an example is empty; give a text that speaks of what is meant")
    settings = read_section(data / "params.yaml", ScopeSettings, "scope")
    documents = _documents(data, examples)
    first = len(documents.rows) - len(examples)
    given = [documents.one(first + i) for i in range(len(examples))]
    levels = list(read_json(data / "corpus/corpus.json")["nodes"])
    labelled = other_nodes(documents, given, levels, settings)
    found = candidates(documents, given, labelled, settings, retriever)
    own, unsure = likest(documents, given, settings), _foreign(data, examples) or doubt(found)
    lines = [_named(own, found, unsure)]
    return Found([*lines, *(line for of in found for line in _described(documents, of, own.node, levels))], unsure)


def _foreign(data: Path, examples: Sequence[str]) -> str | None:
    """What to know where the model never saw a third of the examples' words."""
    unknown, n_tokens = count_unknown(examples, load_tokenizer(data / "model"))
    if 3 * unknown < n_tokens:
        return None
    return f"{unknown} of {n_tokens} tokens of the examples are unknown to this model; give text in its words"


def _named(own: Likest, found: list[Candidate], unsure: str | None) -> str:
    """The scopes in words: where the examples seem to lie, and how sure that is."""
    if unsure:
        return "Uncertain: what follows is a ranking, and the examples hardly support it."
    sizes = ", ".join(f"the {of.level} ({len(of.documents)} documents)" for of in found)
    return (
        f"The examples read most like {' / '.join(own.node)} (cosine {own.cosine:.2f}). They could mean {sizes}; "
        "which of these is yours to say."
    )


def _documents(data: Path, examples: Sequence[str]) -> Documents:
    """The pool and the labelled texts as stage ``unlearn`` read them, with the examples, read now, at the end."""
    seed = read_section(data / "params.yaml", RunSettings, "run").seed
    machine = read_section(data / "params.yaml", MachineSettings, "machine")
    activations = at_layer(read_section(data / "params.yaml", ActivationsSettings, "activations"), data / "model")
    reading = load_reading(data / "unlearning/documents.npz")
    prepare_process(machine.threads)
    model = load_model(data / "model", activations.layer + 1, device=pick_device(machine.device))
    dictionary, tokenizer = load_dictionary(data / "sae").to(model.device), load_tokenizer(data / "model")
    trees, length = open_forest(data / "dendrogram").trees, activations.context_length
    of_examples = read(examples, model, tokenizer, dictionary, activations.layer, length)
    return open_documents(data / "corpus", trees, reading, seed, examples, of_examples)


def _described(documents: Documents, candidate: Candidate, own: Node, levels: list[str]) -> list[str]:
    """A candidate in lines of text, under the name of the known node that it is most like."""
    name = " / ".join(own[: levels.index(candidate.level) + 1])
    near = ", ".join(f"{'/'.join(node)} {share:.2f}" for node, share in candidate.siblings)
    nodes = ", ".join(f"group {e.node} ({e.latents} latents, z {e.least:.1f})" for e in candidate.evidence)
    return [
        f"{candidate.level}, near {name}: {len(candidate.documents)} documents; words: {', '.join(candidate.words)}",
        f"  nearest outside: {near}",
        f"  shared: {nodes}",
        *(f"  + {documents.rows[x]['text']}" for x in candidate.documents[:3]),
        *(f"  - {documents.rows[x]['text']}" for x in candidate.outside[:1]),
    ]
