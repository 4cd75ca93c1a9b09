"""Does the tiny model learn every world? Trains one for each seed and asks it what training never showed.

    uv run python -m studies.world.tiny_models 0 1 2

writes results/tiny_models.json: test figures, training tokens, megabytes and seconds per seed, and their medians.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from pipeline.core.files import read_jsonl, write_json
from pipeline.core.processes import prepare_process
from pipeline.corpus.world.write import write_world
from pipeline.language_model import tiny
from pipeline.language_model.answers import ask
from pipeline.language_model.tiny import train_tokenizer
from studies.recommended import recommended

RESULT = Path(__file__).parent / "results/tiny_models.json"


def main(seeds: list[int]) -> None:
    prepare_process(threads=1)
    rows = [learn(seed) for seed in seeds]
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0] if key != "seed"}
    write_json(RESULT, {"torch": torch.__version__, "seeds": rows, "medians": medians})
    print(medians)


def learn(seed: int) -> dict:
    """One world, one model, its figures."""
    settings = recommended().language_model.tiny
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_world(recommended().world, seed, folder)
        texts = [row["text"] for row in read_jsonl(folder / "train.jsonl")]
        probes = list(read_jsonl(folder / "probes.jsonl"))
        started = time.monotonic()
        tokenizer = train_tokenizer(texts, settings.tokenizer, settings.vocab_size)
        model = tiny.build(settings, tokenizer, seed)
        checks = tiny.train(model, tokenizer, texts, tiny.exam_probes(probes, seed), settings, seed)
        seconds = time.monotonic() - started
        model.save_pretrained(folder / "model")
        megabytes = sum(file.stat().st_size for file in (folder / "model").iterdir()) / 1e6
    figures = {"seed": seed, "training_tokens": checks[-1].tokens, "megabytes": megabytes, "seconds": seconds}
    for kind, split, in_tree in (("heldout", "test", True), ("novel", "novel", True), ("general", "test", False)):
        asked = [probe for probe in probes if probe["split"] == split and bool(probe["path"]) == in_tree]
        answers = ask(model, tokenizer, asked)
        figures |= {f"{kind}_cloze": answers.cloze_q.mean().item(), f"{kind}_mcq": answers.choice_q.mean().item()}
    print({key: round(value, 3) for key, value in figures.items()}, flush=True)
    return figures


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2])
