"""Ask a model everything before anything is done to it."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.files import read_json, read_jsonl, write_json
from pipeline.core.progress import track
from pipeline.language_model.answers import ask
from pipeline.language_model.known import Known, facts_known, of_knowledge, table_of
from pipeline.language_model.loading import load_model, load_tokenizer

ASKED_TOGETHER = 256  # probes; a line of progress each, and no more logits than these have at once


def ask_everything(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: Sequence[dict]
) -> dict[str, bool]:
    """The id of every probe -> whether the right one of its options is preferred."""
    order = sorted(probes, key=lambda probe: len(probe["prompt"]))
    groups = [order[i : i + ASKED_TOGETHER] for i in range(0, len(order), ASKED_TOGETHER)]
    right = {}
    for group in track(groups, "what the model knows", len(groups), "groups of questions"):
        choice_q = ask(model, tokenizer, group).choice_q
        right |= {probe["id"]: bool(choice) for probe, choice in zip(group, choice_q.tolist(), strict=True)}
    return right


def write_knowledge(model_dir: Path, corpus_dir: Path, least: float | None, device: str) -> list[Known]:
    """Ask a model everything and keep the answers as ``knowledge.json`` beside it; returns the facts.

    ``least`` is the share of a target's facts that it must know (None: more than guessing), for those who refuse one.
    """
    probes = of_knowledge(read_jsonl(corpus_dir / "probes.jsonl"))
    right = ask_everything(load_model(model_dir, device=device), load_tokenizer(model_dir), probes)
    facts = facts_known(probes, right)
    levels = read_json(corpus_dir / "corpus.json")["levels"]
    tables = {level: table_of(facts, depth) for depth, level in enumerate(("all", *levels))}
    write_json(model_dir / "knowledge.json", {"least_known": least, "right": right, "tables": tables})
    return facts
