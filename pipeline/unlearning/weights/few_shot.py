"""NPO on a forget set that a few examples are completed to: find the rest of the concept, then remove it.

Only ``few_shot.given`` entities of each node are labelled; the retriever finds the text of the others in a pool.
Nothing is chosen on dev, whose probes ask what is not labelled: the trained model at full strength is the edit.

Two-sided: of the target and of every node beside it the same few entities are known. To be forgotten are the target's
known answers and the documents found for it; kept are the known answers and the documents found for its siblings and
for the rest, and general text. In a document only knowledge counts: tokens that the model predicts better than the
word before them does, ``log p_model - log p_bigram > 2``, so that grammar and templates are left alone.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch

from pipeline.core.errors import PipelineError
from pipeline.language_model.answers import tokenize
from pipeline.scope.completion import Completion, complete
from pipeline.unlearning.case import Candidates, Case
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.weights.examples import Example, answered, documents, padded, whole
from pipeline.unlearning.weights.fine_tuning import preferring
from pipeline.unlearning.weights.losses import token_logprobs
from pipeline.unlearning.weights.training import Lesson, trained, weight_edits

NATS_OF_KNOWLEDGE = 2.0
SMOOTHING = 0.1  # added to every count of the bigram model
Node = tuple[str, ...]


def candidates(case: Case) -> Candidates:
    """One training run on what the retriever found: ``scope_npo``."""
    settings = case.settings.few_shot
    yield completed(case, settings.given, settings.retriever, settings.documents)


def completed(case: Case, given: int, retriever: str | None, found: int) -> Edit:
    """The edit from ``given`` labelled entities a node and up to ``found`` documents by a retriever (None: by none)."""
    if case.documents is None or len(case.target) == max(len(row["path"]) for row in case.documents.rows):
        raise PipelineError(
            f"scope_npo completes nodes with parts; the target {'/'.join(case.target)} has none in the pool"
        )
    lesson, settings = few_shot_lesson(case, given, retriever, found), case.settings.scope_npo
    [edit] = weight_edits(case, (1.0,), trained(case, lesson, settings, preferring()))
    how = edit.settings | {"given": given, "retriever": retriever, "documents": found}
    return edit._replace(method="scope_npo", settings=how)


def labelled_entities(case: Case, given: int) -> dict[Node, list[Node]]:
    """The first ``given`` deepest places below every node of the target's level."""
    depth, found = len(case.target), {}
    for row in case.documents.rows[case.documents.n_pool :]:
        path = tuple(row["path"])
        if len(path) > depth and path not in found.setdefault(path[:depth], []):
            found[path[:depth]].append(path)
    return {node: paths[:given] for node, paths in found.items()}


def few_shot_lesson(case: Case, given: int, retriever: str | None, found: int) -> Lesson:
    """Answers of the labelled entities, and up to ``found`` documents a node by one retriever; None looks for none."""
    labelled = labelled_entities(case, given)
    known = {path for paths in labelled.values() for path in paths}
    probes = [probe for probe in case.train.probes if tuple(probe["path"]) in known]
    completion = Completion([], [], [])
    if retriever is not None:
        completion = complete(case.documents, retriever, case.target, labelled, found, case.scope)

    def of(*nodes: Node) -> list[dict]:
        return [probe for probe in probes if tuple(probe["path"][: len(case.target)]) in nodes]

    siblings = [node for node in labelled if node != case.target and node[:-1] == case.target[:-1]]
    others = [node for node in labelled if node[:-1] != case.target[:-1]]
    target, tokenizer = of(case.target), case.train.tokenizer
    retain = {
        "sibling": [answered(of(*siblings), tokenizer), knowledge(case, completion.sibling)],
        "other": [answered(of(*others), tokenizer), knowledge(case, completion.other)],
        "general": [documents(case.train, case.target, "general")],
    }
    forget = [answered(target, tokenizer), knowledge(case, completion.forget)]
    kept = {name: [pool for pool in pools if pool] for name, pools in retain.items()}
    questions = [tokenize(probe, tokenizer) for probe in target]
    return Lesson([pool for pool in forget if pool], {name: pools for name, pools in kept.items() if pools}, questions)


@torch.no_grad()
def knowledge(case: Case, numbers: Sequence[int]) -> list[Example]:
    """Documents of the table; their knowledge tokens count. What tells nothing is left out."""
    tokenizer, model = case.train.tokenizer, case.train.model
    ids_x = tokenizer([row["text"] for row in case.documents.rows])["input_ids"]
    bigram = Bigram(ids_x, model.config.get_text_config().vocab_size)
    found = []
    for x in numbers:
        ids = tuple(ids_x[x])
        batch = padded([whole(ids)], tokenizer.pad_token_id, model.device)
        told = token_logprobs(model, batch)[0].tolist()
        counted = [t - bigram.logprob(*pair) > NATS_OF_KNOWLEDGE for t, pair in zip(told, pairwise(ids), strict=True)]
        if any(counted):
            found.append(Example(ids, (False, *counted)))
    return found


class Bigram:
    """``log p(b | a)`` from counts over some texts, every count smoothed."""

    def __init__(self, texts: Sequence[Sequence[int]], vocab_size: int) -> None:
        self.pairs = Counter(pair for ids in texts for pair in pairwise(ids))
        self.first = Counter(token for ids in texts for token in ids[:-1])
        self.vocab_size = vocab_size

    def logprob(self, a: int, b: int) -> float:
        return math.log((self.pairs[a, b] + SMOOTHING) / (self.first[a] + SMOOTHING * self.vocab_size))
