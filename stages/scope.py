"""What could be meant: `python -m stages.scope "one example" "another"` shows nested candidate scopes."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from pipeline.activations.settings import ActivationsSettings
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.settings import RunSettings, read_section
from pipeline.scope.settings import ScopeSettings
from pipeline.unlearning.settings import FewShotSettings
from stages import PARAMS

if TYPE_CHECKING:
    from pipeline.scope.candidates import Candidate
    from pipeline.scope.documents import Documents

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")

RETRIEVERS = get_args(get_type_hints(FewShotSettings)["retriever"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.scope", description=__doc__)
    parser.add_argument("examples", nargs="+", help="a text each")
    parser.add_argument("--retriever", choices=RETRIEVERS, default="tree")
    given = parser.parse_args()
    from pipeline.scope.candidates import doubt

    if not all(text.strip() for text in given.examples):
        sys.exit("error: an example is empty; give a text that speaks of what is meant")
    try:
        documents, found = look(given.examples, given.retriever)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    if reason := doubt(found):
        print(f"note: {reason}", file=sys.stderr)
    for candidate in found:
        print("\n".join(described(documents, candidate)))


def look(examples: list[str], retriever: str) -> "tuple[Documents, list[Candidate]]":
    """Read the examples with the pool, and find a scope for each level."""
    from pipeline.core.processes import pick_device, prepare_process
    from pipeline.language_model.loading import load_model, load_tokenizer
    from pipeline.sae.folder import load_dictionary
    from pipeline.scope.candidates import candidates, other_nodes
    from pipeline.scope.documents import open_documents
    from pipeline.unlearning.subject import open_forest

    shared = read_section(PARAMS, RunSettings, "run")
    activations = read_section(PARAMS, ActivationsSettings, "activations")
    settings = read_section(PARAMS, ScopeSettings, "scope")
    prepare_process(shared.threads)
    model = load_model(MODEL, activations.layer + 1, device=pick_device(shared.device))
    dictionary, tokenizer = load_dictionary(SAE).to(model.device), load_tokenizer(MODEL)
    trees, length = open_forest(DENDROGRAM).trees, activations.context_length
    documents = open_documents(
        CORPUS, trees, model, tokenizer, dictionary, activations.layer, length, shared.seed, examples
    )
    first = len(documents.rows) - len(examples)
    levels = list(read_json(CORPUS / "corpus.json")["nodes"])
    given = [documents.one(first + i) for i in range(len(examples))]
    return documents, candidates(documents, given, other_nodes(documents, given, levels, settings), settings, retriever)


def described(documents: "Documents", candidate: "Candidate") -> list[str]:
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


if __name__ == "__main__":
    main()
