"""What a few example texts could mean: the data read with the examples beside it, and every scope found in lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.activations.layer import at_layer
from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.inspection.candidates import Candidate, candidates, doubt, other_nodes
from pipeline.language_model.loading import load_model, load_tokenizer
from pipeline.sae.folder import load_dictionary
from pipeline.scope.documents import Documents, open_documents
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.subject import open_forest


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
    return Found([line for candidate in found for line in _described(documents, candidate)], doubt(found))


def _documents(data: Path, examples: Sequence[str]) -> Documents:
    """The pool and the labelled texts, with the examples at the end, as the model reads them."""
    seed = read_section(data / "params.yaml", RunSettings, "run").seed
    machine = read_section(data / "params.yaml", MachineSettings, "machine")
    activations = at_layer(read_section(data / "params.yaml", ActivationsSettings, "activations"), data / "model")
    prepare_process(machine.threads)
    model = load_model(data / "model", activations.layer + 1, device=pick_device(machine.device))
    dictionary, tokenizer = load_dictionary(data / "sae").to(model.device), load_tokenizer(data / "model")
    trees, length = open_forest(data / "dendrogram").trees, activations.context_length
    return open_documents(
        data / "corpus", trees, model, tokenizer, dictionary, activations.layer, length, seed, list(examples)
    )


def _described(documents: Documents, candidate: Candidate) -> list[str]:
    """A candidate in lines of text."""
    near = ", ".join(f"{'/'.join(node)} {share:.2f}" for node, share in candidate.siblings)
    nodes = ", ".join(f"group {e.node} ({e.latents} latents, z {e.least:.1f})" for e in candidate.evidence)
    return [
        f"{candidate.level}: {len(candidate.documents)} documents; words: {', '.join(candidate.words)}",
        f"  nearest outside: {near}",
        f"  shared: {nodes}",
        *(f"  + {documents.rows[x]['text']}" for x in candidate.documents[:3]),
        *(f"  - {documents.rows[x]['text']}" for x in candidate.outside[:1]),
    ]
