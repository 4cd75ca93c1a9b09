"""The corpus, and the model: a tiny one trained on that corpus, or a reference to one that exists."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from pipeline.core.files import building, read_jsonl, write_json, write_sums
from pipeline.core.processes import MachineSettings, pick_device, prepare_process
from pipeline.core.settings import RunSettings, read_section
from pipeline.core.yaml_text import read_yaml
from pipeline.corpus.atlas.write import write_atlas
from pipeline.corpus.settings import AtlasSettings, CorpusSettings, WorldSettings
from pipeline.corpus.targets import choose_targets
from pipeline.corpus.world.write import write_world
from pipeline.corpus.write import write_corpus
from pipeline.language_model import tiny
from pipeline.language_model.gguf_convert import check_model, convert_gguf
from pipeline.language_model.gguf_source import is_gguf
from pipeline.language_model.knowledge import write_knowledge
from pipeline.language_model.known import refuse_unknown
from pipeline.language_model.layers import sweep
from pipeline.language_model.loading import keep_bars_to_terminals
from pipeline.language_model.settings import LanguageModelSettings
from pipeline.language_model.tiny import train_tokenizer
from stages import PARAMS, run

CORPUS, MODEL = Path("data/corpus"), Path("data/model")


def main() -> str:
    seed = read_section(PARAMS, RunSettings, "run").seed
    corpus_settings = read_section(PARAMS, CorpusSettings, "corpus")
    world = read_section(PARAMS, WorldSettings, "world")
    language_model = read_section(PARAMS, LanguageModelSettings, "language_model")
    prepare_process(read_section(PARAMS, MachineSettings, "machine").threads)
    with building(CORPUS) as folder:
        if corpus_settings.source == "world":
            corpus = write_world(world, seed, folder)
        elif corpus_settings.source == "atlas":
            corpus = write_atlas(read_section(PARAMS, AtlasSettings, "atlas"), seed, folder)
        else:
            corpus = write_corpus(corpus_settings, seed, folder)
    targets = choose_targets(corpus["nodes"], read_yaml(PARAMS)["unlearning"]["targets"])  # before the model is trained
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in corpus["counts"].items())
    with building(MODEL) as folder:
        said = write_model(language_model, seed, folder)
        if language_model.least_known:
            said += f"; {ask_what_it_knows(folder, targets, language_model.least_known)}"
        if language_model.layer_sweep:
            said += f"; {find_layer(folder, seed)}"
    return f"the corpus has {counts}; {said}"


def write_model(settings: LanguageModelSettings, seed: int, folder: Path) -> str:
    """Write the model; returns what the tiny one knows, or what was converted or is referred to."""
    if is_gguf(settings.source):
        return write_converted(settings, folder)
    if settings.source != "train":
        reference = {
            "id": settings.source,
            "revision": settings.revision,
            "dtype": settings.dtype,
            "inputs": read_yaml(PARAMS)["inputs"],  # what lies in a local folder, so that later stages see changes
        }
        write_json(folder / "reference.json", reference)
        return f"the model is {settings.source}"
    texts = [row["text"] for row in read_jsonl(CORPUS / "train.jsonl")]
    probes = list(read_jsonl(CORPUS / "probes.jsonl"))
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


def write_converted(settings: LanguageModelSettings, folder: Path) -> str:
    """The model of a GGUF file as a Hugging Face folder, asked whether it works on the first documents."""
    texts = [row["text"] for row in islice(read_jsonl(CORPUS / "train.jsonl"), 8)]
    about = convert_gguf(settings.source, settings.dtype, folder) | check_model(folder, texts)
    write_json(folder / "source.json", about)
    write_sums(folder)
    return (
        f"{about['name']} ({about['quantisation']}) as {about['dtype']} in {about['seconds']} s: "
        f"perplexity {about['perplexity']} on {about['perplexity_tokens']:,} tokens"
    )


def ask_what_it_knows(folder: Path, targets: Mapping[str, tuple[str, ...]], least: float) -> str:
    """Refuse a target that the model hardly knows; returns how much it knows of all."""
    device = pick_device(read_section(PARAMS, MachineSettings, "machine").device)
    asked = [fact for fact in write_knowledge(folder, CORPUS, least, device) if fact.path and fact.kind != "copying"]
    refuse_unknown(folder, CORPUS, targets)
    return f"the model knows {sum(fact.known for fact in asked):,} of {len(asked):,} facts"


def find_layer(folder: Path, seed: int) -> str:
    """Measure where the nodes of the corpus can be read; returns the layer that is taken."""
    table = sweep(folder, CORPUS, seed, pick_device(read_section(PARAMS, MachineSettings, "machine").device))
    write_json(folder / "layers.json", table)
    return f"layer {table['best']} of {table['layers']} reads best"


if __name__ == "__main__":
    run("prepare", main)
