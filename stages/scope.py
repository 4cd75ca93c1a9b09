"""What would be forgotten: `python -m stages.scope topic` completes a target's forget set from two of its entities."""

import argparse
import random
import sys
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import read_json
from pipeline.language_model.loading import pick_device
from pipeline.runtime import prepare_process
from pipeline.scope.completion import complete
from pipeline.scope.opening import open_documents
from pipeline.scope.scoring import RETRIEVERS
from pipeline.settings.activations import ActivationsSettings
from pipeline.settings.run import RunSettings
from pipeline.settings.scope import ScopeSettings
from pipeline.settings.strict import read_section
from pipeline.settings.unlearning import UnlearningSettings
from pipeline.unlearning.subject import open_forest, open_subject
from stages import PARAMS

CORPUS, MODEL, SAE, DENDROGRAM = Path("data/corpus"), Path("data/model"), Path("data/sae"), Path("data/dendrogram")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.scope", description=__doc__)
    parser.add_argument("level", help="a level of unlearning.targets")
    parser.add_argument("--retriever", choices=RETRIEVERS, default="tree")
    parser.add_argument("--given", type=int, default=2, help="entities that are labelled in each node")
    parser.add_argument("--documents", type=int, default=16, help="how many to take of each node")
    given = parser.parse_args()
    try:
        show(given)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def show(given: argparse.Namespace) -> None:
    """Print the documents that a forget set would take, and how many stand beside them."""
    shared = read_section(PARAMS, RunSettings, "run")
    activations = read_section(PARAMS, ActivationsSettings, "activations")
    chosen = read_section(PARAMS, UnlearningSettings, "unlearning").targets
    prepare_process(shared.threads)
    subject = open_subject(MODEL, SAE, CORPUS, activations, chosen, pick_device(shared.device))
    if given.level not in subject.targets:
        raise PipelineError(f"no target has the level {given.level}; there are {', '.join(subject.targets)}")
    target = subject.targets[given.level]
    documents = open_documents(
        CORPUS,
        open_forest(DENDROGRAM).trees,
        subject.model,
        subject.tokenizer,
        subject.dictionary,
        subject.layer,
        subject.context_length,
        shared.seed,
    )
    nodes = read_json(CORPUS / "corpus.json")["nodes"]
    entities = list(nodes.values())[-1]
    rng = random.Random(shared.seed)
    labelled = {}
    for node in map(tuple, nodes[given.level]):
        inside = [tuple(path) for path in entities if tuple(path[: len(node)]) == node]
        labelled[node] = rng.sample(inside, min(given.given, len(inside)))
    settings = read_section(PARAMS, ScopeSettings, "scope")
    found = complete(documents, given.retriever, target, labelled, given.documents, settings)
    print(f"{' / '.join(target)}, from {', '.join(path[-1] for path in labelled[target])}:")
    for x in found.forget:
        print(f"  {x:5d} {documents.rows[x]['text']}")
    print(f"beside them {len(found.sibling)} documents of siblings and {len(found.other)} of others, to keep")


if __name__ == "__main__":
    main()
