"""The corpus, and the model: a tiny one trained on that corpus, or a reference to one that exists."""

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.core.files import building, read_jsonl, write_json, write_sums
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.core.yaml_text import read_yaml
from pipeline.corpus.atlas.write import write_atlas
from pipeline.corpus.settings import AtlasSettings, CorpusSettings, WorldSettings
from pipeline.corpus.targets import check_targets, choose_targets
from pipeline.corpus.world.write import write_world
from pipeline.corpus.write import write_corpus
from pipeline.language_model import tiny
from pipeline.language_model.gguf_convert import check_model, convert_gguf
from pipeline.language_model.gguf_source import is_gguf
from pipeline.language_model.knowledge import write_knowledge
from pipeline.language_model.known import check_known, unknown_beside
from pipeline.language_model.layers import sweep
from pipeline.language_model.loading import keep_bars_to_terminals
from pipeline.language_model.settings import LanguageModelSettings
from pipeline.language_model.tiny import train_tokenizer
from stages import PARAMS, run

CORPUS, MODEL = Path("data/corpus"), Path("data/model")


def main() -> str:
    seed = read_section(PARAMS, RunSettings, "run").seed
    corpus_settings = read_section(PARAMS, CorpusSettings, "corpus")
    language_model = read_section(PARAMS, LanguageModelSettings, "language_model")
    prepare_process(read_section(PARAMS, MachineSettings, "machine").threads)
    with building(CORPUS) as corpus_folder, building(MODEL) as folder:  # refused, neither takes the place of another
        corpus = make_corpus(corpus_settings, seed, corpus_folder)
        targets = choose_targets(corpus["nodes"], read_yaml(PARAMS)["unlearning"]["targets"])
        rows = (list(read_jsonl(corpus_folder / f"{kind}.jsonl")) for kind in ("texts", "probes"))
        check_targets(targets, *rows)  # before the model is trained
        said = write_model(language_model, seed, corpus_folder, folder)
        if is_asked(corpus_settings, language_model):
            said += f"; {ask_what_it_knows(folder, corpus_folder, targets, language_model.least_known)}"
        if language_model.layer_sweep:
            said += f"; {find_layer(folder, corpus_folder, seed)}"
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in corpus["counts"].items())
    return f"the corpus has {counts}; {said}"


def make_corpus(settings: CorpusSettings, seed: int, folder: Path) -> dict[str, Any]:
    """Write the corpus that the settings ask for; returns its ``corpus.json``."""
    match settings.source:
        case "world":
            return write_world(read_section(PARAMS, WorldSettings, "world"), seed, folder)
        case "atlas":
            return write_atlas(read_section(PARAMS, AtlasSettings, "atlas"), seed, folder)
        case "files":
            return write_corpus(settings, seed, folder)


def write_model(settings: LanguageModelSettings, seed: int, corpus: Path, folder: Path) -> str:
    """Write the model; returns what the tiny one knows, or what was converted or is referred to."""
    if is_gguf(settings.source):
        return write_converted(settings, corpus, folder)
    if settings.source != "train":
        reference = {
            "id": settings.source,
            "revision": settings.revision,
            "dtype": settings.dtype,
            "inputs": read_yaml(PARAMS)["inputs"],  # what lies in a local folder, so that later stages see changes
        }
        write_json(folder / "reference.json", reference)
        return f"the model is {settings.source}"
    texts = [row["text"] for row in read_jsonl(corpus / "train.jsonl")]
    probes = list(read_jsonl(corpus / "probes.jsonl"))
    tokenizer = train_tokenizer(texts, settings.tiny.tokenizer, settings.tiny.vocab_size)
    model = tiny.build(settings.tiny, tokenizer, seed)
    checks = tiny.train(model, tokenizer, texts, tiny.exam_probes(probes, seed), settings.tiny, seed)
    keep_bars_to_terminals()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "training.json", [check._asdict() for check in checks])
    write_sums(folder)
    last = checks[-1]
    return (
        f"the model trained here read {last.tokens:,} tokens, completes {last.cloze:.1%} of the dev facts and chooses "
        f"{last.choice:.1%} right among four options"
    )


def write_converted(settings: LanguageModelSettings, corpus: Path, folder: Path) -> str:
    """The model of a GGUF file as a Hugging Face folder, asked whether it works on the first documents."""
    texts = [row["text"] for row in islice(read_jsonl(corpus / "train.jsonl"), 8)]
    about = convert_gguf(settings.source, settings.dtype, folder) | check_model(folder, texts)
    write_json(folder / "source.json", about)
    write_sums(folder)
    return (
        f"{about['name']} ({about['quantisation']}) as {about['dtype']} in {about['seconds']} s: "
        f"perplexity {about['perplexity']} on {about['perplexity_tokens']:,} tokens"
    )


def is_asked(corpus: CorpusSettings, settings: LanguageModelSettings) -> bool:
    """Whether the model must show what it knows; one trained on the world does so while it is trained."""
    if settings.least_known is None:
        return (corpus.source, settings.source) != ("world", "train")
    return settings.least_known > 0


def ask_what_it_knows(folder: Path, corpus: Path, targets: Mapping[str, tuple[str, ...]], least: float | None) -> str:
    """Refuse a target that the model hardly knows, warn of what it does not know beside; returns how much it knows."""
    device = pick_device(read_section(PARAMS, MachineSettings, "machine").device)
    facts = write_knowledge(folder, corpus, least, device)
    check_known(facts, targets, least)
    for sentence in unknown_beside(facts, targets):
        print(f"WARNING: {sentence}", file=sys.stderr, flush=True)
    asked = [fact for fact in facts if fact.path and fact.kind != "copying"]
    return f"the model knows {sum(fact.known for fact in asked):,} of {len(asked):,} facts"


def find_layer(folder: Path, corpus: Path, seed: int) -> str:
    """Measure where the nodes of the corpus can be read; returns the layer that is taken."""
    table = sweep(folder, corpus, seed, pick_device(read_section(PARAMS, MachineSettings, "machine").device))
    write_json(folder / "layers.json", table)
    return f"layer {table['best']} of {table['layers']} reads best"


if __name__ == "__main__":
    run("prepare", main)
