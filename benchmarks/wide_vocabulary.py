"""Peak memory and seconds where the vocabulary is wide: one candidate's judgement, one evaluation, one step of NPO.

    uv run python -m benchmarks.wide_vocabulary > benchmarks/wide_vocabulary.json

The model is a random Gemma-3 of two layers with a vocabulary of 262,144, so the head is nearly all of the work. Each
row runs in a process of its own; where it is not ``chunked`` all logits of a batch are held at once, as once they were.
Memory is the peak of the work above what the process holds before it: model, bench and both models of NPO are there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel, PreTrainedTokenizerFast

from pipeline.language_model import wide_head
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.edit import clamped
from pipeline.unlearning.weights.examples import answered, padded, whole
from pipeline.unlearning.weights.losses import divergence, preference, token_logprobs

WORDS = 2000  # that have a name; the rest of the vocabulary is there to be wide
WORK = ("judgement", "evaluation", "npo_step")


def wide_model(vocabulary: int, width: int) -> PreTrainedModel:
    """A random Gemma-3 of two layers."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=1, head_dim=width // 4, sliding_window=512,
    )  # fmt: skip
    return Gemma3ForCausalLM(config).eval().requires_grad_(False)


def words_only() -> PreTrainedTokenizerFast:
    """Every named word is a token."""
    vocabulary = {word: i for i, word in enumerate(("<pad>", "<eos>", "<bos>", *(f"w{i}" for i in range(WORDS))))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>")


def text(start: int, n: int) -> str:
    return " ".join(f"w{(start + 7 * i) % WORDS}" for i in range(n))


def work_of(name: str, vocabulary: int, width: int, probes: int, texts: int) -> Callable[[], None]:
    """What is to be measured, with all that it needs made."""
    model, tokenizer = wide_model(vocabulary, width), words_only()
    asked = [
        {"prompt": text(i, 12), "answer": f"w{i}", "options": [f"w{i + k}" for k in range(4)], "path": ["d"]}
        for i in range(probes)
    ]
    if name == "npo_step":
        return npo_step(model, tokenizer, asked)
    documents = [{"text": text(i, 127), "path": []} for i in range(texts)]
    latents = 4 * width
    dictionary = Dictionary(
        torch.randn(width, latents), torch.zeros(latents), torch.randn(latents, width), torch.zeros(width)
    )
    bench = Bench(model, tokenizer, dictionary, 0, asked, documents)
    edit = clamped("", "d", ("d",), 0, [[0, 1, 2]], torch.ones(latents), 1.0, {})
    return lambda: (bench.measure if name == "judgement" else bench.compare)(edit)


def npo_step(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, asked: list[dict]) -> Callable[[], None]:
    """24 answers to forget; 72 prompts and two texts of 128 tokens to keep, as by default."""
    trained = wide_model(model.config.vocab_size, model.config.hidden_size).requires_grad_(True)
    optimizer, pad = torch.optim.AdamW(trained.parameters(), lr=1e-5), tokenizer.pad_token_id
    forget = padded(answered(asked[:24], tokenizer), pad, model.device)
    documents = [whole(tuple(tokenizer(text(i, 127))["input_ids"])) for i in range(2)]
    kept = [padded(part, pad, model.device) for part in (answered(asked[:72], tokenizer), documents)]

    rng = np.random.default_rng(0)

    def step() -> None:
        with torch.no_grad():
            before = token_logprobs(model, forget)
        loss = preference(token_logprobs(trained, forget), before, forget.counted_bt, 0.1)
        (loss + sum(divergence(trained, model, batch, rng) for batch in kept)).backward()
        optimizer.step()

    return step


def measured(name: str, chunked: bool, sizes: argparse.Namespace) -> dict[str, object]:
    """One row, in this process."""
    torch.set_num_threads(1)
    if not chunked:
        wide_head.AT_ONCE = sys.maxsize
    work = work_of(name, sizes.vocabulary, sizes.width, sizes.probes, sizes.texts)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, started, cpu = peak_mib(), time.monotonic(), time.process_time()
    work()
    wall_s, cpu_s = time.monotonic() - started, time.process_time() - cpu
    peak = {"peak_mib": round(peak_mib() - before), "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1)}
    return {"work": name, "chunked": chunked} | peak


def peak_mib() -> float:
    """Linux only: the high-water mark of resident memory, which ``clear_refs`` resets."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=262_144)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--probes", type=int, default=240, help="about 80 of each of three relations")
    parser.add_argument("--texts", type=int, default=8, help="of 128 tokens")
    parser.add_argument("--one", nargs=2, metavar=("WORK", "CHUNKED"), help="a single row, in this process")
    sizes = parser.parse_args()
    if sizes.one:
        print(json.dumps(measured(sizes.one[0], sizes.one[1] == "True", sizes)))
        return
    rows = []
    for name in WORK:
        for chunked in (False, True):
            command = [sys.executable, "-m", "benchmarks.wide_vocabulary", *sys.argv[1:], "--one", name, str(chunked)]
            done = subprocess.run(command, capture_output=True, text=True)
            died = {"work": name, "chunked": chunked, "died": done.stderr.strip().splitlines()[-1:] or done.returncode}
            rows.append(json.loads(done.stdout) if done.returncode == 0 else died)
    about = {"date": time.strftime("%Y-%m-%d"), "load": round(os.getloadavg()[0], 1)}
    about |= {name: getattr(sizes, name) for name in ("vocabulary", "width", "probes", "texts")}
    print(json.dumps(about | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
